"""What the project reaches into Gradio for is still there and still needed."""

import asyncio
import contextlib
import inspect
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from gradio.data_classes import FileData, PredictBodyInternal

from demo import gradio_fixes


@pytest.fixture(scope="module")
def served():
    """The address of a small page with the middleware, which tells when a value arrived."""
    with gr.Blocks(analytics_enabled=False) as page:
        words, button = gr.Textbox(visible=False), gr.Button()
        button.click(lambda text: text, words, words, api_name="say")
    options = gradio_fixes_options()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, **options)
    yield url.rstrip("/")
    page.close(verbose=False)


def gradio_fixes_options() -> dict:
    from starlette.middleware import Middleware

    wanted = (gradio_fixes.ClosedDoors, gradio_fixes.Stopwatch)
    return {"app_kwargs": {"middleware": [Middleware(one) for one in wanted]}}


def test_a_webcams_film_is_handed_over_as_it_came(tmp_path):
    part = gradio_fixes.webcam_input(label="Record")
    film = tmp_path / "film.webm"
    film.write_bytes(b"as it came")
    sent = part.data_model(path=str(film))
    assert part.preprocess(sent) == str(film) and part.preprocess(None) is None
    assert list(inspect.signature(gr.Video.preprocess).parameters) == ["self", "payload"]
    assert "ffmpeg" in inspect.getsource(inspect.getmodule(gr.Video)).lower()  # else the fix may go


def test_an_upload_is_handed_over_without_a_file_of_gradios_own(tmp_path, monkeypatch):
    monkeypatch.setattr(gr.File, "_process_single_file", gr.File._process_single_file)  # put back afterwards
    gradio_fixes.lean_uploads()
    (tmp_path / "notes.txt").write_text("words")
    part = gr.File(file_types=[".mp4"])
    part.GRADIO_CACHE = str(tmp_path / "cache")
    assert part.preprocess(FileData(path=str(tmp_path / "notes.txt"))) == str(tmp_path / "notes.txt")
    assert not (tmp_path / "cache").exists()


def test_history_is_switched_off_wherever_gradio_has_one(served):
    known = inspect.signature(gr.Blocks.launch).parameters
    assert all(name in known and value is False for name, value in gradio_fixes.no_history().items())
    histories = [name for name in known if "history" in name]
    assert histories == list(gradio_fixes.no_history())  # else it has another name now


@pytest.mark.parametrize("data", [{"frame": 3, "target": 1}, None, [1]])
def test_all_that_the_browser_sent_can_be_read(data):
    event = gr.EventData(None, data)
    entries = data if isinstance(data, dict) else {}
    assert gradio_fixes.sent(event) == entries and gradio_fixes.sent(event, "frame") == entries.get("frame")


def test_a_docstring_is_read_as_the_api_page_reads_it():
    def segment(video, size=None):
        """Give a mask.

        Args:
            video: the clip.
            size: short side.

        Returns:
            overlay: the film.
            archive: all masks.
        """

    told, parameters, returned = gradio_fixes.docstring_of(segment)
    assert told.strip() == "Give a mask." and parameters == {"video": "the clip.", "size": "short side."}
    assert returned == ["overlay: the film.", "archive: all masks."]


def test_words_and_examples_of_ours_come_to_the_api_page():
    with gr.Blocks(analytics_enabled=False) as page:
        given, out = gr.JSON(label="clicks"), gr.Textbox(label="told")
        gradio_fixes.describe(given, "our words", [[1, 2]])
        gradio_fixes.describe(out, "our answer")
        gr.Button().click(lambda clicks: "", given, out, api_name="say")
    found = page.get_api_info()["named_endpoints"]["/say"]
    assert found["parameters"][0]["python_type"]["description"] == "our words"
    assert found["parameters"][0]["example_input"] == [[1, 2]]
    assert found["returns"][0]["python_type"]["description"] == "our answer"


def test_the_stopwatch_is_slowed_before_gradios_own_scripts_run(served):
    page = httpx.get(served).text
    assert page.count("requestAnimationFrame = (callback)") == 1
    head = page.index("requestAnimationFrame = (callback)")
    assert head < page.index('<script type="module"') and page.index("<head>") < head


def test_no_deep_link_is_made_of_a_page(served):
    page = {"session_hash": "somebody"}
    httpx.post(f"{served}/gradio_api/run/say", json={"data": ["secret"], **page}).raise_for_status()
    answers = [httpx.get(f"{served}{path}", params=page) for path in closed("deep_link")]
    assert answers and all(answer.status_code == 404 and not answer.text for answer in answers)


@pytest.mark.parametrize("door", ["component_server", "process_recording"])
def test_no_file_comes_in_beside_the_counted_uploads(served, door):
    sent = {"files": {"video": ("a.mp4", b"film")}}
    answers = [httpx.post(f"{served}{path}", **sent) for path in closed(door)]
    assert answers and all(answer.status_code == 404 and not answer.text for answer in answers)


def closed(door: str) -> list[str]:
    """Where Gradio has a door that is closed here; fails when it has none, because then the fix may go."""
    import gradio.routes

    assert f'/{door}"' in inspect.getsource(gradio.routes)
    return [f"/gradio_api/{door}", f"/gradio_api/{door}/", f"//gradio_api/{door}"]


@pytest.mark.parametrize("kind", [gr.Blocks, gradio_fixes.SoundValues])
def test_an_address_in_the_place_of_a_file_is_fetched_by_gradio_and_not_here(kind, monkeypatch):
    fetched = []

    async def fetch(url, cache_dir):
        fetched.append(url)
        return __file__

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    with kind(analytics_enabled=False) as page:
        page.load(lambda *_: None, [gr.Textbox(), gr.File()])
    film = {"path": "https://example.org/film.mp4", "meta": {"_type": "gradio.FileData"}}
    for values in (["", film], [[{"deep": [film]}], None]):
        ours = pytest.raises(gr.Error, match="Send the file itself")
        with ours if kind is gradio_fixes.SoundValues else contextlib.suppress(Exception):
            asyncio.run(page.preprocess_data(page.fns[0], values, None))
    assert fetched == ([film["path"]] * 2 if kind is gr.Blocks else [])


@pytest.mark.parametrize("kind", [gr.Blocks, gradio_fixes.SoundValues])
def test_a_wrong_value_is_told_with_the_servers_folders_by_gradio_and_not_here(kind, monkeypatch):
    with kind(analytics_enabled=False) as page:
        page.load(lambda *_: None, [gr.CheckboxGroup(["a"]), gr.File(), gr.Dropdown(["a"])])
    monkeypatch.setattr("gradio.context.LocalContext.blocks", SimpleNamespace(get=lambda _: page))
    page.has_launched, page.allowed_paths, page.blocked_paths = True, [], []
    file, told, printed = {"meta": {"_type": "gradio.FileData"}}, [], []
    for values in ([[], {"path": "film.mp4", **file}, "a"], [5, None, "a"], [[]], [[], None, "b"]):
        with pytest.raises(Exception) as caught:
            asyncio.run(page.preprocess_data(page.fns[0], values, None))
        told.append(str(caught.value))
        printed.append(getattr(caught.value, "print_exception", True))
    ours = kind is gradio_fixes.SoundValues
    assert (str(Path.cwd()) in told[0]) != ours and any(printed) != ours
    assert not ours or [text.count("\n") for text in told] == [0] * 4
    assert "not in the list of choices" in told[3]  # words for whoever sent it


def test_the_files_of_a_request_are_found_however_deep_they_are():
    deep = {"path": "a"}
    for _ in range(10**5):
        deep = [deep]
    found = gradio_fixes.paths_in([deep, {"path": "b", "more": {"path": "c"}}, {"path": 3}, "d", None])
    assert sorted(found) == ["a", "b", "c"]


def test_what_comes_before_a_request_waits_and_before_one_starts_is_asked():
    with gr.Blocks(analytics_enabled=False) as page:
        words = gr.Textbox()
        gr.Button().click(lambda text: text, words, words, api_name="say", concurrency_id="mine")
    asked = []

    async def admit(push, body, request):
        asked.append("wait")
        if request == "refused":
            return hooks.refusal("no", public=True)
        answer = await push()
        hooks.event(answer).caller = "somebody"
        return answer

    def choose(take):
        asked.append("start")
        return take()

    async def both():
        hooks.before_push(admit)
        hooks.before_next(choose)
        body = PredictBodyInternal(data=["x"], fn_index=0, session_hash="tab")
        assert hooks.is_public(body)
        refused = await page._queue.push(body=body, request="refused", username=None)
        assert refused[0] is False and refused[2] == "validator_error" and not list(hooks.waiting())
        await page._queue.push(body=body, request=None, username=None)
        [(name, lane)] = [(name, lane) for name, lane in hooks.lanes() if lane.queue]
        [event] = hooks.waiting()
        assert (name, event.caller, lane.current_concurrency) == ("mine", "somebody", 0)
        assert page._queue.get_events()[0] == [event] and not list(hooks.waiting())
        page._queue.active_jobs[0] = [event]
        assert list(hooks.running()) == [event]

    page.queue()
    page.run_startup_events()
    hooks = gradio_fixes.QueueHooks(page)
    asyncio.run(both())
    assert asked == ["wait", "wait", "start"]


def test_an_upload_that_breaks_off_leaves_a_file_that_is_found(served):
    def breaking():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n' + bytes(2**17)
        raise ConnectionError

    before = set(gradio_fixes.broken_uploads(time.time() + 60))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(ConnectionError):
        httpx.post(f"{served}/gradio_api/upload", content=breaking(), headers=headers)
    late = time.monotonic() + 60
    while not (left := set(gradio_fixes.broken_uploads(time.time() + 60)) - before):
        assert time.monotonic() < late
    assert not left & set(gradio_fixes.broken_uploads(time.time() - 3600))
    for path in left:
        path.unlink()


def test_what_is_no_page_goes_through_the_middleware_untouched():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])

    for middleware in (gradio_fixes.Stopwatch, gradio_fixes.ClosedDoors):
        asyncio.run(middleware(app)({"type": "http", "method": "GET", "path": "/config"}, None, None))
        asyncio.run(middleware(app)({"type": "lifespan", "path": ""}, None, None))
    assert seen == ["/config", ""] * 2


@pytest.mark.parametrize(
    "news", [{0: "a"}, {0: "a", 2: "c"}, {1: gr.skip()}, {0: "a", 1: "b", 2: "c"}, "abc"]
)
def test_parts_without_news_are_answered_as_by_gradio_and_not_made_anew(news, monkeypatch):
    answers, made, make = {}, [], gr.Textbox.__init__
    monkeypatch.setattr(gr.Textbox, "__init__", lambda *a, **b: made.append(1) or make(*a, **b))
    for kind in (gr.Blocks, gradio_fixes.LeanAnswers):
        with kind(analytics_enabled=False) as page:
            parts = [gr.Textbox() for _ in range(3)]
            page.load(lambda: None, None, parts)
        given = {parts[n]: word for n, word in news.items()} if isinstance(news, dict) else list(news)
        [function] = page.fns.values()
        before = len(made)
        answers[kind] = asyncio.run(page.postprocess_data(function, given, None)), len(made) - before
    (usual, some), (lean, none) = answers.values()
    assert lean == usual
    if len(news) == 2:
        assert (some, none) == (1, 0)  # else the fix may go
