"""What the tests of the page share: a clip whose masks are known, and the page's parts without a browser."""

import contextlib
import socket
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import av
import numpy as np
from conftest import colour_model, squares

from demo.engine.device import Engine
from demo.guard.process import Guard
from demo.limits import Limits
from demo.panels.base import Host
from demo.panels.clip import ClipPanel
from demo.panels.compare import ComparePanel
from demo.panels.fix import FixPanel
from demo.panels.look import LookPanel
from demo.panels.mark import MarkPanel
from demo.panels.memory import MemoryPanel
from demo.panels.result import ResultPanel
from demo.panels.share import SharePanel
from demo.panels.track import TrackPanel
from demo.work.visitor import Visitor

SETTINGS = ("bounded", 64, 5, 0, 8)  # preset, budget in MB, every, size (0: as it is), most frames
FRAMES, HEIGHT, WIDTH = 24, 64, 96


def write_clip(path: Path, frames: int = FRAMES, objects: int = 2, **size) -> list[np.ndarray]:
    """Write a clip of coloured squares; its masks come back, uint8 (H, W) per frame."""
    pictures = squares(frames, objects=objects, **{"height": HEIGHT, "width": WIDTH, **size})
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", 12, options={"crf": "4", "g": "6"})
        stream.height, stream.width = pictures[0][0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for rgb, _ in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode(None))
    return [labels for _, labels in pictures]


class Bench:
    """The panels of a page over a model that makes no mistakes, in a folder of their own."""

    def __init__(self, root: Path, model=None, **limits):
        self.limits = Limits(cache=str(root / "cache"), **limits)
        self.guard = Guard(self.limits)
        self.engine = Engine(model or colour_model(), self.guard)
        self.host = Host(self.engine, self.guard, self.limits, root / "examples")
        self.runner = self.host.runner
        panels = ClipPanel, MarkPanel, MemoryPanel, TrackPanel, FixPanel, ResultPanel
        more = SharePanel, LookPanel, ComparePanel
        self.host.panels = [panel(self.host) for panel in (*panels, *more)]
        self.clip, self.mark, self.memory, self.track, self.fix, self.result = self.host.panels[:6]
        self.share, self.look, self.compare = self.host.panels[6:]

    def arrive(self, caller: str = "") -> Visitor:
        return self.host.new_visitor(caller)

    def opened(self, path: Path) -> Visitor:
        """A visitor who has opened a clip and waited until it was checked."""
        visitor = self.arrive()
        views = list(self.clip.open_clip(visitor, str(path)))
        assert visitor.work is not None, notice(views[-1])
        return visitor

    def reload(self, visitor: Visitor) -> Iterator[dict]:
        """The views after the visitor's page was loaded again."""
        visitor.reloaded = visitor.work
        return self.clip.come_back(visitor)

    def folder(self, visitor: Visitor) -> Path:
        return Path(visitor.work.clip.folder)

    def click(self, visitor: Visitor, frame: int, x: int, y: int, label: int = 1) -> dict:
        return self.mark.edit(visitor, {"kind": "click", "frame": frame, "x": x, "y": y, "label": label}, 0)

    def mark_two(self, visitor: Visitor) -> None:
        """Mark the clip's first two objects on its first frame."""
        self.click(visitor, 0, 8, 8)
        self.mark.order(visitor, {"kind": "add"})
        self.click(visitor, 0, 24, 24)

    def begun(self, visitor: Visitor) -> Generator[dict, None, None]:
        """A run of one object that has given its first view."""
        self.click(visitor, 0, 8, 8)
        self.track.get_ready(visitor, *SETTINGS)
        run = self.track.track(visitor)
        next(run)
        return run

    def tracked(self, visitor: Visitor, direction: str = "", settings: tuple = SETTINGS) -> list[dict]:
        ready = self.track.get_ready(visitor, *settings, direction)
        if notice(ready):
            return [ready]
        return list(self.track.track(visitor))


def masks_of(visitor: Visitor) -> list[np.ndarray]:
    """The masks of all frames tracked, in order."""
    return [visitor.work.result(index) for index in sorted(visitor.work.run.records)]


def wait_for(state, patience: float = 30) -> None:
    """Returns when `state()` is true; fails after `patience` seconds."""
    end = time.monotonic() + patience
    while not state():
        assert time.monotonic() < end, "that state was never reached"
        time.sleep(0.01)


def notice(view: dict) -> str:
    """What a view complains about; empty when it does not."""
    return view.get("notice", "")


class Served:
    """A page that is running: its address, its model, its folder."""

    def __init__(self, url: str, model, limits: Limits, page):
        self.url, self.model, self.limits, self.page = url, model, limits, page


@contextlib.contextmanager
def serve(root: Path, model=None, examples: Path | None = None, **limits):
    """Run a page on a free port of this machine."""
    from demo.web.page import build_app, launch_options

    model, found = model or colour_model(), Limits(cache=str(root / "cache"), **limits)
    page = build_app(model, found, examples or root / "examples")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {**launch_options(found), "server_port": port, "server_name": "127.0.0.1"}
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **options)
    try:
        yield Served(url.rstrip("/"), model, found, page)
    finally:
        page.close()
