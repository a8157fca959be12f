"""Untrusted files at four doors: `probe`, `read_video`, the guard, the page's upload.

At each of them a bad file costs one clear sentence, and a damaged one gives what can be decoded.  No door
opens another file or asks an address.
"""

import contextlib
import os
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import av
import av.error
import clips
import corpus
import damage
import psutil
import pytest
from pages import Bench, notice

from stm_core.errors import LimitError, StmError, VideoError
from stm_core.media.containers import open_container
from stm_core.media.limits import SAFE_LIMITS, VideoLimits
from stm_core.media.video import probe, read_video

SEEDS = int(os.environ.get("STM_FUZZ_SEEDS", "500"))
DOORS = ("probe", "read", "guard", "page")
MOST_SECONDS, MOST_MB = 20, 1024  # that one damaged clip may take


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def known(good, tmp_path_factory) -> dict[str, Path]:
    """A good clip of every kind, and those that can be cut and still begin."""
    folder = tmp_path_factory.mktemp("fast")
    return good | {f"fast {kind}": corpus.fast(kind, folder) for kind in ("mp4", "mov")}


def enter(door: str, path: Path, page: Bench, limits: VideoLimits = SAFE_LIMITS) -> tuple[int, list[str]]:
    """(frames, warnings) of a clip as a door tells them.  StmError when it stays closed."""
    if door == "probe":
        info = probe(path, limits, count=True)
        return info.frames, list(info.warnings)
    if door == "read":
        with read_video(path, limits) as reader:
            return sum(1 for _ in reader), reader.warnings
    if door == "guard":
        folder = page.arrive().new_folder()
        try:
            page.guard.call("inspect", path=str(path), folder=str(folder), start=0, limits=asdict(limits))
        except StmError:
            assert not list(folder.rglob("*.*"))
            raise
        found = page.guard.call("check", path=str(path), folder=str(folder), start=0, stop=300, side=64)
        assert found["frames"] == len(found["times"]) == len(list((folder / "proxy").iterdir()))
        assert found["times"] == sorted(found["times"])
        return found["frames"], found["warnings"]
    user = page.arrive()
    *_, view = page.clip.open_clip(user, str(path))
    if user.work is None:
        raise StmError(notice(view))
    return user.work.clip.stop, list(user.work.clip.warnings)


def refused(door: str, path: Path, page: Bench, kind: type = VideoError, limits=SAFE_LIMITS) -> str:
    """The sentence with which a door refuses a file; it tells nothing of the server."""
    with pytest.raises(StmError) as caught:
        enter(door, path, page, limits)
    told = str(caught.value)
    assert door == "page" or caught.type is kind, told
    assert 20 < len(told) < 500 and "\n" not in told and "Traceback" not in told
    assert str(path.parent) not in told and str(page.limits.root) not in told
    return told


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.name)
def test_a_file_is_refused_in_a_sentence_or_read_as_far_as_it_goes(case, door, known, page, tmp_path):
    path = case.put(tmp_path, known)
    if door == "page" and (path.is_dir() or case.limits != SAFE_LIMITS):
        return  # one file is uploaded, and the page has limits of its own
    if case.refused and not (case.late and door == "probe"):
        assert case.says in refused(door, path, page, case.refused, case.limits)
    else:
        frames, warnings = enter(door, path, page, case.limits)
        assert frames >= case.frames and case.warns in " ".join(warnings)


@pytest.mark.parametrize("name", corpus.POINTERS)
def test_what_names_other_files_or_addresses_opens_neither(name, good, page, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(good["mp4"].read_bytes())
    os.utime(secret, (1, 2))  # read long before it was written: the first reading moves the access time
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        names = {"file": secret, "port": port, "address": f"http://127.0.0.1:{port}/a.ts"}
        data = corpus.POINTERS[name].format(**names).encode()
        (tmp_path / name).write_bytes(data)
        for door in DOORS:
            refused(door, tmp_path / name, page)
        for suffix in corpus.SUFFIXES:
            (tmp_path / f"clip{suffix}").write_bytes(data)
            for door in ("probe", "read"):
                refused(door, tmp_path / f"clip{suffix}", page)
        assert not select.select([server], [], [], 0.02)[0]
    assert secret.stat().st_atime == 1


def test_an_address_would_be_asked_without_our_care(page, tmp_path):
    """That the files above are refused is not because they are harmless."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        path = tmp_path / "clip.m3u8"
        path.write_text(corpus.PLAYLIST.format(f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"))
        careless = threading.Thread(target=opens_carelessly, args=[path])
        careless.start()
        with server.accept()[0] as connection:
            assert connection.recv(100).startswith(b"GET /a.ts")
        careless.join(20)


def opens_carelessly(path: Path) -> None:
    with contextlib.suppress(av.error.FFmpegError):
        av.open(str(path), options={"protocol_whitelist": "file,http,tcp"}).close()


def test_ffmpeg_itself_may_open_no_playlist(tmp_path, monkeypatch):
    monkeypatch.setattr("stm_core.media.containers.POINTERS", ())
    (tmp_path / "clip.m3u8").write_text(corpus.PLAYLIST.format("http://127.0.0.1:9/a.ts"))
    with pytest.raises(VideoError) as caught:
        open_container(tmp_path / "clip.m3u8", SAFE_LIMITS)
    assert isinstance(caught.value.__cause__, av.error.ArgumentError)  # not on the list of formats


@pytest.mark.parametrize(
    "path",
    ["none.mp4", "/dev/zero", "a\0b.mp4", None, "http://127.0.0.1:9/a.mp4", "concat:/etc/passwd|/etc/hosts"],
)
def test_what_is_no_file_is_refused(path):
    for attempt in (probe, lambda path: list(read_video(path))):
        with pytest.raises(VideoError):
            attempt(path)


@pytest.mark.parametrize("kind", [*clips.CONTAINERS, "webp", "folder", "zip"])
def test_every_limit_is_kept_and_stated(good, page, kind):
    for limit, told in (
        (VideoLimits(max_pixels=2000), "2,000"),
        (VideoLimits(max_frames=30), "30"),
        (VideoLimits(max_seconds=1), "1.0 s"),
        (VideoLimits(max_bytes=500), "0.0 MB"),
    ):
        for door in ("probe", "read"):
            assert told in refused(door, good[kind], page, LimitError, limit)
    assert "2,000" in refused("guard", good[kind], page, LimitError, VideoLimits(max_pixels=2000))


def test_limits_count_frames_may_be_higher_than_ffmpeg_counts_and_may_be_none(good):
    for limits in (
        VideoLimits(max_frames=40),
        VideoLimits(max_pixels=99_999_999_999),
        VideoLimits(*4 * [None]),
    ):
        assert len(list(read_video(good["mkv"], limits))) == 40


@pytest.mark.parametrize("kind", corpus.CUTTABLE)
def test_a_cut_clip_gives_its_first_frames_in_order_at_every_door(known, page, tmp_path, kind):
    path = tmp_path / "cut"
    path.write_bytes(corpus.cut(kind)(known))
    numbers, _ = clips.read(path)
    sound = numbers[:-3]  # the last ones may be half a picture
    assert sound == list(range(len(sound))) and 5 <= len(numbers) < 40
    assert len(clips.read(path, reverse=True)[0]) == len(numbers)
    for door in DOORS:
        frames, warnings = enter(door, path, page)
        assert frames == len(numbers) and "cut short" in " ".join(warnings), door


@pytest.mark.parametrize("kind", clips.CONTAINERS)
def test_a_name_does_not_say_what_a_clip_is(tmp_path, good, kind):
    (tmp_path / "clip.mp4").write_bytes(good[kind].read_bytes())
    assert probe(tmp_path / "clip.mp4").container == kind


def test_pictures_come_in_the_order_of_their_numbers_without_what_a_mac_leaves(tmp_path):
    entries = {**corpus.LEFTOVERS, "c/0.png": corpus.still(number=3)}
    (tmp_path / "a.zip").write_bytes(corpus.zipped(entries))
    assert clips.read(tmp_path / "a.zip")[0] == [3]
    names = ["9" * 4999 + "0", "1" * 5000, "2" + "0" * 4998, "0" * 4999 + "7"]  # more digits than int() takes
    entries = {f"{name}.png": corpus.still(number=n) for n, name in enumerate(names)}
    (tmp_path / "b.zip").write_bytes(corpus.zipped(entries))
    assert clips.read(tmp_path / "b.zip")[0] == [3, 2, 1, 0]


def open_files() -> set[str]:
    """What this process holds open: names of files, `socket:[number]`, `pipe:[number]`."""
    links = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them is closed again
            links.add(str(Path(f"/proc/self/fd/{number}").readlink()))
    return links


def test_nothing_but_the_file_itself_is_held_open(good):
    before = open_files()
    with read_video(good["mkv"]) as reader:
        next(reader)
        assert open_files() - before == {str(good["mkv"])}
    assert open_files() <= before


# random damage ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, bytes]:
    return damage.tiny(tmp_path_factory.mktemp("small"))


def test_random_damage_gives_a_sentence_or_a_valid_part(page, small, tmp_path):
    pipe, theirs = page.guard.context.Pipe(duplex=False)
    arguments = theirs, tmp_path, small, SEEDS
    process = page.guard.context.Process(target=damage.read_all_damaged, args=arguments, daemon=True)
    process.start()
    theirs.close()
    outcomes = []
    for seed in range(SEEDS):
        assert pipe.poll(MOST_SECONDS), f"seed {seed} hangs"
        outcomes.append(pipe.recv())  # EOFError: the seed after the last outcome crashed
        if isinstance(told := outcomes[-1], str):
            assert 20 < len(told) < 500 and "\n" not in told, f"seed {seed}: {told}"
            assert str(tmp_path) not in told, f"seed {seed} tells a path of the server: {told}"
    assert pipe.recv() < MOST_MB
    process.join()
    sentences = sum(isinstance(found, str) for found in outcomes)
    assert SEEDS // 10 < sentences < SEEDS - SEEDS // 10
    assert all(found > 0 for found in outcomes if isinstance(found, int))


def test_random_damage_leaves_the_page_as_it_was(page, small, tmp_path):
    (tmp_path / "whole.mp4").write_bytes(small[".mp4"])
    assert enter("page", tmp_path / "whole.mp4", page)[0] == 10
    me = psutil.Process()
    before, alive = me.memory_info().rss, len(me.children(recursive=True))

    def one(seed: int) -> bool:
        suffix, data = damage.damaged(seed, small)
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(data)
        try:
            return enter(DOORS[2 + seed // 25 % 2], path, page, VideoLimits(max_pixels=2**22))[0] > 0
        except StmError as error:
            assert str(page.limits.root) not in str(error) and "\n" not in str(error), f"seed {seed}: {error}"
            return True
        finally:
            assert path.read_bytes() == data, "the upload itself was changed"

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(one, range(0, SEEDS, 25)))
    assert enter("page", tmp_path / "whole.mp4", page)[0] == 10
    assert len(me.children(recursive=True)) <= alive and me.memory_info().rss - before < 64 * 2**20
