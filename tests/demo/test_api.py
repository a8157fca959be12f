"""The web API through gradio_client, on a running page: the contract's shapes, the command's masks, clear
refusals.
"""

import io
import json
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pages import FRAMES, serve, write_clip
from PIL import Image

from stm_core.engine.prompts import Prompt
from stm_core.masks.mask_files import decode_mask, encode_mask
from stm_core.media.video import read_video
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.compare import compare
from stm_core.runs.folder import run_to_folder
from stm_core.runs.look_run import look_clip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("page"), max_frames=60, upload_mb=5) as address:
        yield address


@pytest.fixture(scope="module")
def client(page, tmp_path_factory) -> Client:
    return Client(page.url, download_files=str(tmp_path_factory.mktemp("downloads")), verbose=False)


def test_segment_from_clicks_gives_what_the_command_gives(client, clip, page, tmp_path):
    overlay, archive, report = client.predict(
        video=handle_file(clip[0]), clicks=[[0, 8, 8, 1, 1], [0, 24, 24, 1, 2]], api_name="/segment"
    )
    expected = run_to_folder(
        page.model, clip[0], Prompt.from_clicks([(8, 8, 1, 1), (24, 24, 1, 2)]), tmp_path / "out"
    )
    with zipfile.ZipFile(archive) as pack:
        assert sorted(pack.namelist()) == sorted(
            [*(f"masks/{n:05d}.png" for n in range(FRAMES)), "overlay.mp4", "report.json"]
        )
        for n in range(FRAMES):
            name = f"masks/{n:05d}.png"
            assert pack.read(name) == (tmp_path / "out" / name).read_bytes()
        assert json.loads(pack.read("report.json")) == report
        assert pack.read("overlay.mp4") == Path(overlay).read_bytes()
    assert (
        overlay.endswith(".mp4")
        # `clip` is a path of this machine; the others say what later runs may replace
        and set(report) == set(expected) - {"clip", "files", "seal"}
        and set(report["memory"]) == set(expected["memory"])
    )
    assert report["frames_in"] == report["frames_out"] == FRAMES and report["objects"] == 2


@pytest.mark.parametrize("frame", [20, 2])
def test_look_gives_what_the_command_gives(client, clip, page, frame):
    found, picture, weights = client.predict(
        video=handle_file(clip[0]), frame=frame, at=[50, 40], clicks=[[5, 8, 8, 1, 1]], api_name="/look"
    )
    expected = look_clip(page.model, clip[0], Prompt.from_clicks([(8, 8, 1, 1)], frame=5), frame, (50, 40))
    assert found == expected.look.as_dict()
    assert np.array_equal(np.asarray(Image.open(picture)), expected.picture)
    with np.load(weights) as arrays:
        assert sorted(arrays) == [f"t{one.t:05d}" for one in expected.look.stored]
        assert all(np.allclose(arrays[f"t{one.t:05d}"], one.weights) for one in expected.look.stored)


@pytest.mark.parametrize(
    "sent, said",
    [
        ({"at": [1]}, "[x, y]"),
        ({"at": [500, 1]}, "96x64"),
        ({"frame": 99}, "0 to 23"),
        ({"frame": 0}, "frame 0"),
    ],
)
def test_a_look_at_nothing_is_refused_in_a_sentence(client, clip, sent, said):
    asked = {"frame": 3, "at": [1, 1], "clicks": [[0, 8, 8, 1, 1]], **sent}
    with pytest.raises(AppError) as refused:
        client.predict(video=handle_file(clip[0]), **asked, api_name="/look")
    assert said in str(refused.value)


def test_compare_gives_the_table_and_the_film(client, clip, page, tmp_path):
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as pack:
        for n, labels in enumerate(clip[1]):
            pack.writestr(f"{n:05d}.png", encode_mask(np.where(labels == 1, 1, 0).astype(np.uint8)))
    table, film = client.predict(
        video=handle_file(clip[0]),
        presets=["first", "previous"],
        clicks=[[0, 8, 8, 1, 1]],
        truth=handle_file(tmp_path / "truth.zip"),
        api_name="/compare",
    )
    prompt, truth = (
        Prompt.from_clicks([(8, 8, 1, 1)]),
        dict(enumerate((m == 1).astype("u1") for m in clip[1])),
    )
    expected = compare(page.model, clip[0], prompt, ["first", "previous"], truth=truth).table
    timed = {"seconds_per_frame": 0}
    assert [{**row, **timed} for row in table["runs"]] == [{**row, **timed} for row in expected["runs"]]
    with read_video(film) as reader:
        assert len(list(reader)) == FRAMES and reader.info.width == 2 * 96
    with pytest.raises(AppError, match="first, first"):
        client.predict(video=handle_file(clip[0]), presets=["first"] * 2, api_name="/compare")


def test_segment_from_a_mask_with_options(client, clip, page, tmp_path):
    Image.fromarray(np.where(clip[1][0] == 1, 255, 0).astype(np.uint8)).save(tmp_path / "first.png")
    _, archive, report = client.predict(
        video=handle_file(clip[0]),
        mask=handle_file(tmp_path / "first.png"),
        preset="first+previous",
        budget_mb=1,
        every=3,
        size=48,
        api_name="/segment",
    )
    memory = MemoryConfig(preset="first+previous", every=3, budget_bytes=2**20)
    labels = (clip[1][0] == 1).astype(np.uint8)
    run_to_folder(page.model, clip[0], Prompt.from_mask(labels), tmp_path / "out", memory=memory, size=48)
    with zipfile.ZipFile(archive) as pack:
        for n in range(FRAMES):
            name = f"masks/{n:05d}.png"
            assert pack.read(name) == (tmp_path / "out" / name).read_bytes()
    assert report["memory"]["preset"] == "first+previous"


def test_segment_exports_to_the_formats_that_are_asked_for(client, clip):
    _, archive, _ = client.predict(
        video=handle_file(clip[0]),
        clicks=[[0, 8, 8, 1, 1], [0, 24, 24, 1, 2]],
        formats=["coco", "outlines-json"],
        template="{frame}-{clip}",
        api_name="/segment",
    )
    with zipfile.ZipFile(archive) as pack:
        coco = io.BytesIO(pack.read("exports/coco.zip"))
        assert json.loads(pack.read("exports/outlines-json.json"))["frames"][3]["objects"][1]["id"] == 2
    with zipfile.ZipFile(coco) as pack:
        content = json.loads(pack.read("annotations/instances_default.json"))
        assert "images/default/00003-squares.jpg" in pack.namelist()
    assert len(content["images"]) == FRAMES and len(content["annotations"]) == 2 * FRAMES
    with pytest.raises(AppError, match="inpainting"):
        client.predict(video=handle_file(clip[0]), clicks=[[0, 8, 8]], formats=["x"], api_name="/segment")


def test_segment_leaves_out_an_object_where_it_is_said_to_be_gone(client, clip):
    words = {"video": handle_file(clip[0]), "clicks": [[0, 8, 8, 1, 1], [0, 24, 24, 1, 2]]}
    _, archive, _ = client.predict(**words, absent=[[2, 5, 8], [2, 20, 99]], api_name="/segment")
    with zipfile.ZipFile(archive) as pack:
        for n, truth in enumerate(clip[1]):
            gone = 5 <= n <= 8 or n >= 20
            found = decode_mask(pack.read(f"masks/{n:05d}.png"))
            assert np.array_equal(found, np.where(truth == 2, 0, truth) if gone else truth), n
    for wrong in ([[2, 0, 3]], [[2, 5]], [[2, 8, 5]], [[1.5, 2, 3]], [5], "x", {"a": 1}, [[0, 1, 2]]):
        with pytest.raises(AppError) as caught:
            client.predict(**words, absent=wrong, api_name="/segment")
        assert "absent" in str(caught.value).lower(), wrong


def test_segment_goes_both_ways_from_a_click_in_mid_clip(client, clip):
    _, archive, _ = client.predict(
        video=handle_file(clip[0]), clicks=[[9, 8 + 16 * (9 % 6), 8, 1, 1]], api_name="/segment"
    )
    with zipfile.ZipFile(archive) as pack:
        for n in (0, 9, FRAMES - 1):
            assert np.array_equal(decode_mask(pack.read(f"masks/{n:05d}.png")) == 1, clip[1][n] == 1)


def test_a_call_that_skips_the_queue_is_refused_in_words(page, clip):
    answer = httpx.post(f"{page.url}/gradio_api/run/segment", json={"data": [None] * 9})
    assert answer.status_code == 404 and "join the queue" in answer.text


def test_click_answers_with_the_mask_of_that_frame(client, clip):
    found = client.predict(
        video=handle_file(clip[0]),
        frame=7,
        clicks=[[8 + 16 * (7 % 6), 8, 1, 1], [2, 60, 0, 1]],
        api_name="/click",
    )
    picture = Image.open(io.BytesIO(Path(found).read_bytes()))
    assert picture.mode == "P" and np.array_equal(np.array(picture) == 1, clip[1][7] == 1)


@pytest.mark.parametrize(
    "values, words",
    [
        ({}, "neither mask nor clicks"),
        ({"clicks": []}, "neither mask nor clicks"),
        ({"clicks": [[0, 500, 5, 1, 1]]}, "outside the frame of 96x64"),
        ({"clicks": [[99, 5, 5, 1, 1]]}, "frames 0 to 23"),
        ({"clicks": [[0, 8, 8, 1, 1], [3, 60, 5, 0, 2]]}, "object 2 has background clicks only on frame 3"),
        ({"clicks": [[0, "a", 5, 1, 1]]}, "expected [frame, x, y, label, object]"),
        ({"clicks": "click here"}, "must be a list"),
        ({"clicks": [[0, 5, 5, 1, n] for n in range(1, 12)]}, "11 objects"),
        ({"clicks": [[0, 8, 8, 1, 1]], "preset": "all"}, "no memory preset"),
        ({"clicks": [[0, 8, 8, 1, 1]], "budget_mb": 1e6}, "1e+06"),
    ],
)
def test_a_refusal_is_the_sentence_that_a_visitor_would_read(client, clip, values, words):
    with pytest.raises(AppError) as caught:
        client.predict(video=handle_file(clip[0]), **values, api_name="/segment")
    assert words.lower() in str(caught.value).lower() and "Traceback" not in str(caught.value)


def test_bad_files_and_clips_that_are_too_long_are_refused(client, tmp_path):
    (tmp_path / "notes.mp4").write_text("these are only words")
    write_clip(tmp_path / "long.mp4", frames=70)
    Image.new("P", (10, 10)).save(tmp_path / "mask.png")
    write_clip(tmp_path / "clip.mp4", frames=3)
    click = {"clicks": [[0, 8, 8, 1, 1]]}
    for name, values, words in (
        ("notes.mp4", click, "as a clip"),
        ("long.mp4", click, "70 frames"),
        ("clip.mp4", {"mask": handle_file(tmp_path / "mask.png")}, "mask"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(video=handle_file(tmp_path / name), **values, api_name="/segment")


def test_only_the_endpoints_of_the_contract_are_public_and_they_are_described(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/segment", "/click", "/look", "/compare"}
    parameters = {p["parameter_name"]: p for p in endpoints["/segment"]["parameters"]}
    promised = ["video", "mask", "clicks", "preset", "budget_mb", "every", "size"]
    assert list(parameters) == [*promised, "formats", "template", "absent"]
    defaults = {name: p["parameter_default"] for name, p in parameters.items() if p["parameter_has_default"]}
    assert defaults == {
        "mask": None,
        "clicks": None,
        "preset": "bounded",
        "budget_mb": 64,
        "every": 5,
        "size": None,
        "formats": None,
        "template": "",
        "absent": None,
    }
    for name, words in (("/segment", "Give every frame"), ("/click", "The mask of one frame")):
        described = client.view_api(return_format="dict")["named_endpoints"][name]
        assert words in described["description"]
        for value in [*described["parameters"], *described["returns"]]:
            assert len(value["python_type"]["description"]) > 12, value["label"]
            assert "FileData" not in value["python_type"]["description"]


def test_files_outside_the_visitors_folders_are_not_served(page):
    for path in (Path(__file__).parents[2] / "app.py", "/etc/passwd"):
        assert httpx.get(f"{page.url}/gradio_api/file={path}").status_code in (403, 404)


def test_an_upload_leaves_no_file_of_gradios_also_where_gradio_made_the_part_anew(page, tmp_path):
    part = next(one for one in page.page.blocks.values() if getattr(one, "elem_id", None) == "upload")
    anew = part.__class__(**part.constructor_args)
    for one in (part, anew):
        one.GRADIO_CACHE = str(tmp_path)
        upload = one.data_model(path=str(tmp_path / "notes.txt"), orig_name="notes.txt")
        assert one.preprocess(upload) == upload.path  # a wrong kind is refused by us, in words
    assert not list(tmp_path.iterdir())


def test_a_refused_call_leaves_no_files(client, clip, page):
    def folders():
        return {path for path in page.page.host.visitors.glob("*") if any(path.glob("clip-*"))}

    before = folders()
    video = handle_file(clip[0])
    refused = ({"clicks": [[0, 999, 8, 1, 1]]}, {"clicks": [[0, 8, 8, 1, n] for n in range(1, 12)]})
    for values in refused:
        with pytest.raises(AppError):
            client.predict(video=video, **values, api_name="/segment")
    with pytest.raises(AppError, match="objects"):
        client.predict(video=video, clicks=[[8, 8, 1, n] for n in range(1, 12)], api_name="/click")
    assert folders() == before
