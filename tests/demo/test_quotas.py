"""Quotas: a greedy caller is refused in one sentence, the others are served, and nothing stays for long."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import ValidationError
from pages import Bench, Served, notice, serve, wait_for, write_clip
from PIL import Image

from demo.gradio_fixes import QueueHooks
from demo.limits import Limits
from demo.web.fair_queue import LONGEST_BODY, FairQueue
from demo.work.quotas import LEAST, MB, Quotas, caller_of
from stm_core.errors import LimitError

CLICK = {"frame": 0, "clicks": [[8, 8, 1, 1]], "api_name": "/click"}
SEGMENT = {"clicks": [[0, 8, 8, 1, 1]], "api_name": "/segment"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "squares.mp4"
    write_clip(path, frames=4)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(root / "gradio"))
        with serve(root, visitor_waiting=3, caller_waiting=5, upload_mb=1, caller_mb=2) as served:
            served.uploads = root / "gradio"
            yield served


def client(page: Served, address: str, folder: Path) -> Client:
    """One that comes from an address of its own."""
    headers = {"X-Forwarded-For": address}
    return Client(page.url, headers=headers, download_files=str(folder / "down"), verbose=False)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_of_a_finished_call_only_its_answer_stays_and_that_for_minutes(page, clip, tmp_path):
    quotas, folders = page.page.host.quotas, page.page.host.visitors
    user = client(page, "203.0.113.1", tmp_path)
    before = set(folders.iterdir())
    film, archive, _ = user.predict(video=handle_file(clip), **SEGMENT)
    mask = user.predict(video=handle_file(clip), **CLICK)
    assert all(Path(path).stat().st_size for path in (film, archive, mask))
    assert set(folders.iterdir()) == before
    assert {path.name for path in files(quotas.answers)} == {"overlay.mp4", "segment.zip", "mask_00000.png"}
    [upload] = files(page.uploads)  # no copy of an answer, and the clip once
    assert upload.name == clip.name
    soon = time.time() + 60 * (page.limits.answer_minutes - 1)
    quotas.sweep(now=soon)
    assert len(files(quotas.answers)) == 3 and upload.exists()
    quotas.sweep({str(upload)}, now=soon + 120)
    assert not files(quotas.answers) and upload.exists()  # a waiting request speaks of it
    quotas.sweep(now=soon + 120)
    assert not files(page.uploads) and not quotas.disk("203.0.113.1")


@contextmanager
def held(page: Served, monkeypatch) -> Iterator[list]:
    """The network answers no click meanwhile; the requests that came to it are listed."""
    engine, go, came = page.page.host.engine, Event(), []
    click = engine.click

    def waits(image, clicks, *rest):
        came.append(int(clicks[0][1]))  # y tells the callers apart
        assert go.wait(30)
        return click(image, clicks, *rest)

    monkeypatch.setattr(engine, "click", waits)
    try:
        yield came
    finally:
        go.set()


def test_one_who_fills_the_queue_is_refused_and_others_go_before_the_rest(page, clip, tmp_path, monkeypatch):
    greedy, patient = (client(page, f"203.0.113.{n}", tmp_path / str(n)) for n in (2, 3))
    queue = page.page._queue

    def ask(one, y):
        return one.submit(video=handle_file(clip), frame=0, clicks=[[8, y, 1, 1]], api_name="/click")

    with held(page, monkeypatch) as came:
        jobs = [ask(greedy, 1)]
        wait_for(lambda: came)
        for count in (1, 2, 3):
            jobs.append(ask(greedy, 1))
            wait_for(lambda count=count: len(queue) == count)
        with pytest.raises(ValidationError, match="3 requests"):
            ask(greedy, 1).result(30)
        other = ask(patient, 2)
        wait_for(lambda: len(queue) == 4)
    assert other.result(30) and all(job.result(30) for job in jobs)
    assert came == [1, 2, 1, 1, 1]


def test_one_who_fills_the_disk_is_refused_and_others_are_served(page, clip, tmp_path):
    greedy, patient = (client(page, f"203.0.113.{n}", tmp_path / str(n)) for n in (4, 5))
    (tmp_path / "much").write_bytes(bytes(2 * MB))
    quotas = page.page.host.quotas
    quotas.hold("203.0.113.4", tmp_path / "much")
    uploads = set(files(page.uploads))
    for call in (CLICK, SEGMENT):
        with pytest.raises(ValidationError, match="2 MB"):
            greedy.predict(video=handle_file(clip), **call)
    assert set(files(page.uploads)) == uploads  # and what was sent for it is gone
    assert patient.predict(video=handle_file(clip), **CLICK)
    (tmp_path / "much").write_bytes(b"")
    assert greedy.predict(video=handle_file(clip), **CLICK)


def test_uploads_far_beyond_the_quota_are_not_received(page, tmp_path):
    def upload(address: str, **how) -> httpx.Response:
        headers = {"X-Forwarded-For": address, **how.pop("headers", {})}
        return httpx.post(f"{page.url}/gradio_api/upload", headers=headers, **how)

    quotas, part = page.page.host.quotas, {"files": {"files": ("a.bin", bytes(MB // 2))}}
    (tmp_path / "much").write_bytes(bytes(4 * MB - MB // 4))
    quotas.hold("203.0.113.6", tmp_path / "much")
    refused = upload("203.0.113.6", **part)
    assert refused.status_code == 413 and refused.text
    assert upload("203.0.113.7", **part).status_code == 200
    wait_for(lambda: quotas.disk("203.0.113.7") == MB // 2)  # and no longer what was announced of it
    endless = upload("203.0.113.7", content=iter([b"x"]), headers={"Content-Type": "multipart/form-data"})
    assert endless.status_code == 411


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/predict", "/nowhere"])
def test_a_request_that_is_no_upload_is_not_read_beyond_its_limit(page, path):
    def send(**how) -> int:
        return httpx.post(f"{page.url}{path}", **how).status_code

    assert send(content=b" " * (LONGEST_BODY + 1)) == 413
    assert send(content=iter([b" "])) == 411
    assert send(content=b"{}") not in (411, 413) and send() not in (411, 413)


@pytest.mark.parametrize("limit, waiting", [(4, 9), (None, 3)])
def test_a_lane_is_never_full_of_one_callers_requests(limit, waiting):
    class Waits:
        concurrency_id = "media"

        def __init__(self, caller: str):
            self.caller, self.data = caller, SimpleNamespace(data=[caller])

    class Queue:
        def __init__(self):
            self.lane = SimpleNamespace(queue=[], current_concurrency=0, concurrency_limit=limit)
            self.event_queue_per_concurrency_id, self.active_jobs = {"media": self.lane}, [None] * 9

        push = None

        def get_events(self):
            left = Counter(fair.keys("media"))
            assert left == Counter("aaaabab")  # those that are held back are there for who asks now
            return ([self.lane.queue.pop(0)], False, "media") if self.lane.queue else None

    queue = Queue()
    hooks = QueueHooks(SimpleNamespace(_queue=queue))
    fair = FairQueue(hooks, None, Limits(caller_running=9, caller_waiting=waiting))
    queue.lane.queue += map(Waits, "aaaabab")
    started = []
    while (events := queue.get_events()) is not None:
        queue.active_jobs[len(started)] = events[0]
        started += [events[0][0].caller]
    assert "".join(started) == "ababa"  # never more than three of one
    assert "".join(one.caller for one in queue.lane.queue) == "aa"


def test_an_upload_of_two_callers_goes_with_the_last(tmp_path):
    quotas = Quotas(Limits(cache=str(tmp_path / "cache")))
    path = tmp_path / "sha" / "clip.mp4"
    path.parent.mkdir()
    path.write_bytes(bytes(10))
    quotas.uploaded("a", path)
    quotas.uploaded("b", path)
    quotas.used("a", path)
    soon = time.time() + 60 * (quotas.limits.answer_minutes + 1)
    quotas.drop("b", ["/etc/passwd", str(tmp_path / "cache")])  # not theirs
    quotas.sweep(now=soon)
    assert path.exists() and quotas.disk("a") == 0 and quotas.disk("b") == LEAST  # of ten bytes
    quotas.drop("b", [str(path)])
    assert not path.parent.exists() and quotas.disk("b") == 0


def test_a_pages_files_count_for_its_address(tmp_path, clip):
    bench = Bench(tmp_path, caller_mb=1)
    user = bench.arrive("203.0.113.8")
    list(bench.clip.open_clip(user, str(clip)))
    assert bench.host.quotas.disk("203.0.113.8") >= clip.stat().st_size
    (Path(user.folder) / "much").write_bytes(bytes(MB))
    refused = list(bench.clip.open_clip(bench.arrive("203.0.113.8"), str(clip)))
    assert "1 are allowed" in notice(refused[-1])
    other = bench.arrive("203.0.113.9")
    list(bench.clip.open_clip(other, str(clip)))
    assert other.work is not None and other.caller == "203.0.113.9"
    with pytest.raises(LimitError):
        bench.host.quotas.check("203.0.113.8")


def test_masks_that_are_brought_again_and_again_reach_the_quota(tmp_path, clip):
    bench = Bench(tmp_path, caller_mb=1)
    user = bench.arrive("203.0.113.12")
    list(bench.clip.open_clip(user, str(clip)))
    for n in range(4):
        Image.new("L", (96, 64), 255).save(tmp_path / f"{n:05d}.png")
    masks = [str(path) for path in tmp_path.glob("*.png")]
    assert "Marked from the file" in notice(bench.share.bring(user, masks))
    (Path(user.folder) / "much").write_bytes(bytes(MB))
    before = user.work.run, dict(user.work.marks)
    assert "1 are allowed" in notice(bench.share.bring(user, masks))
    assert "1 are allowed" in notice(bench.compare.take_truth(user, masks))
    assert (user.work.run, user.work.marks) == before


def test_one_address_never_takes_all_places_for_runs(tmp_path, clip):
    bench = Bench(tmp_path, queue_size=4)
    greedy = [bench.arrive("203.0.113.10") for _ in range(3)]
    other = bench.arrive("203.0.113.11")
    for one in (*greedy, other):
        list(bench.clip.open_clip(one, str(clip)))
    told = [notice(bench.track.get_ready(user)) for user in greedy]
    assert told[:2] == ["", ""] and "2 runs from your address" in told[2] and not greedy[2].work.busy
    assert notice(bench.track.get_ready(other)) == ""


def test_a_caller_is_the_address_that_the_hosts_proxy_saw(monkeypatch):
    claimed = {"x-forwarded-for": "8.8.8.8, 9.9.9.9, 10.0.0.1"}
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert caller_of("192.0.2.1", claimed) == "192.0.2.1"  # anybody can send that header
    monkeypatch.setenv("SPACE_ID", "who/what")
    assert caller_of("10.0.0.2", claimed) == "9.9.9.9"
    assert caller_of("10.0.0.2", {"x-forwarded-for": "unknown"}) == "10.0.0.2"
    assert caller_of(None, {}) == ""
