"""How long does a click wait while another visitor does the worst? python tests/waits.py [--frames 900]

Starts the page in a process of its own.  One visitor clicks, one click after the other; meanwhile another
opens a long clip, tracks it, deletes an object of it, imports, exports, calibrates, stops a decoder in the
middle, and sends many clicks by the page and by the API.  Prints a Markdown table of the first one's waits.
Exit code 1 when a request made a click wait for more than the limit, beside what it takes alone.

The two share the cores of one machine, so that a click that is computed beside other work takes longer; that
is in these numbers too.
"""

import argparse
import os
import platform
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import psutil
from gradio_client import Client, handle_file
from load import main
from load_server import Server
from PIL import Image
from tab import Tab

LIMIT = 0.5  # seconds
ALONE = 12  # clicks without anybody else
HEIGHT, WIDTH, SIDE = 480, 854, 240
LAST_SECONDS = 60  # of clicks beside one kind of work


def write_clip(path: Path, frames: int) -> None:
    """A clip with one key frame, so that its last frame is far away."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(40, 140, (HEIGHT // 8, WIDTH // 8 + 1, 3)), np.ones((8, 8, 1)))
    ground = ground.astype(np.uint8)[:, :WIDTH]
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", 30, options={"g": "9999", "preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(frames):
            frame = ground.copy()
            frame[100:200, t % 700 : t % 700 + 100] = (200, 40, 40)
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        clip.mux(stream.encode(None))


class Patient:
    """The visitor who clicks."""

    def __init__(self, url: str, path: Path):
        self.tab = Tab(url, "patient")
        self.tab.arrive()
        self.tab.do("upload", "upload", upload=self.tab.upload(path))

    def click(self) -> float:
        """Seconds until a first click on a frame is answered, or Clear after it, whichever took longer."""
        seconds = []
        for ask in (lambda: self.tab.click(0, 150, 150, SIDE), lambda: self.tab.order("clear", frame=0)):
            began = time.perf_counter()
            answer = ask()
            assert answer["success"], answer
            seconds.append(time.perf_counter() - began)
        return max(seconds)

    def beside(self, work: Callable[[], object]) -> tuple[list[float], float]:
        """Seconds of all clicks while the work is done, and of the work."""
        began, waits = time.perf_counter(), []
        with ThreadPoolExecutor(1) as other:
            done = other.submit(work)
            while not done.done() and time.perf_counter() - began < LAST_SECONDS:
                waits.append(self.click())
            done.result()
        return waits, time.perf_counter() - began


class Greedy:
    """The visitor who does the worst of each kind."""

    def __init__(self, server: Server, folder: Path, clip: Path):
        self.server, self.clip, self.tab = server, clip, Tab(server.address, "greedy")
        self.last, self.mask = 0, folder / "mask.png"
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[100:200, :100], labels[300:400, 300:500] = 1, 2
        picture = Image.fromarray(labels)
        picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        picture.save(self.mask)
        self.client = Client(server.address, verbose=False, download_files=str(folder / "down"))
        self.tab.arrive()

    def opens(self) -> None:
        self.tab.do("upload", "upload", upload=self.tab.upload(self.clip))

    def imports(self) -> None:
        for _ in range(3):
            self.tab.do("mask", "upload", mask=self.tab.upload(self.mask))

    def tracks(self) -> None:
        done = self.tab.track(size=SIDE, preset="first", budget=64, every=5)
        assert done["success"], done

    def exports(self) -> None:
        self.tab.do("get-palette", "click")
        self.tab.do("get-overlay", "click")

    def calibrates(self) -> None:
        for side in (480, 360, 0):
            self.tab.do("size", "change", size=side)

    def deletes(self) -> None:
        done = self.tab.order("delete", object=2)
        assert done["success"], done

    def stalls(self) -> None:
        """Clicks far from every key frame, and the process that decodes is stopped by a signal."""
        with ThreadPoolExecutor(1) as other:
            before = self._helpers()
            clicked = other.submit(self.tab.click, self.last, 50, 150, SIDE)
            while not clicked.done():
                for process in self._helpers() - before:
                    process.send_signal(signal.SIGSTOP)
                time.sleep(0.01)

    def _helpers(self) -> set[psutil.Process]:
        return set(psutil.Process(self.server.process.pid).children(recursive=True))

    def many_clicks(self) -> None:
        """Ten pages of the same visit click at once, at the clip's own size."""
        tabs = [Tab(self.server.address, f"greedy{n}") for n in range(10)]
        for tab in tabs:
            tab.key = self.tab.key
        threads = [threading.Thread(target=tab.click, args=(0, 50, 150, 0)) for tab in tabs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def api_clicks(self) -> None:
        rows = [[40 + 3 * (n % 20), 105 + 4 * (n // 20), 1, 1] for n in range(200)]
        self.client.predict(video=handle_file(self.clip), frame=0, clicks=rows, api_name="/click")


def run(args: argparse.Namespace, folder: Path) -> int:
    """Everything; the exit code."""
    write_clip(folder / "short.mp4", 10)
    write_clip(folder / "long.mp4", args.frames)
    server = Server(folder, args.weights, args.device)
    try:
        server.wait()
        patient, greedy = Patient(server.address, folder / "short.mp4"), None
        patient.click()  # the first one of a server is slower
        alone = [patient.click() for _ in range(ALONE)]
        greedy = Greedy(server, folder, folder / "long.mp4")
        greedy.last = args.frames - 1
        rows = [("nothing", alone, 0.0)]
        kinds = ("opens", "imports", "calibrates", "many_clicks", "tracks", "exports", "stalls", "deletes")
        for kind in (*kinds, "api_clicks"):
            rows.append((kind.replace("_", " "), *patient.beside(getattr(greedy, kind))))
    finally:
        server.process.terminate()
        server.process.wait(30)
    usual = statistics.median(alone)
    print(
        f"{args.weights}, clip of {args.frames} frames of {WIDTH}x{HEIGHT}, clicks at {SIDE}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}, "
        f"Python {platform.python_version()}\n"
    )
    print("| another visitor | s | clicks meanwhile | median, s | longest, s | longest beside alone, s |")
    print("|---|---|---|---|---|---|")
    for kind, waits, seconds in rows:
        middle, longest = statistics.median(waits), max(waits)
        numbers = f"{middle:.2f} | {longest:.2f} | {longest - usual:+.2f}"
        print(f"| {kind} | {seconds:.1f} | {len(waits)} | {numbers} |")
    return 1 if any(max(waits) - usual > LIMIT for _, waits, _ in rows) else 0


if __name__ == "__main__":
    sys.exit(main(run, __doc__, frames=900))
