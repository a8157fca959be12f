"""Eight visitors at once, for three minutes: python tests/load.py [--visitors 8] [--minutes 3] [--weights W]

Starts the page in a process of its own and lets every visitor (a gradio_client with an address of its own)
segment a clip of its own, click, change its mind half-way, and send broken files and requests.  Each answer
is compared with the one that the same visitor got while alone.  The last visitor is greedy instead: it sends
large clips, many at once, and never waits for an answer.  Prints a Markdown table; exit code 1 when a request
of a patient visitor failed or was refused for lack of room, when the greedy one was never refused, when an
answer was another visitor's, or when files stayed behind after their lifetime.
"""

import argparse
import hashlib
import os
import platform
import random
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import av
import numpy as np
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError
from httpx import HTTPStatusError
from load_server import LIFETIME_MINUTES, Server

ROOT = Path(__file__).resolve().parent.parent
LARGE_MB, AT_ONCE = 30, 24  # a greedy caller's clip, its requests under way
REFUSALS = {  # a name, and what is wrong with the request
    "text": {"clip": b"hello, I am a film", "clicks": [[0, 5, 5, 1, 1]]},
    "playlist": {"clip": b"#EXTM3U\nhttp://127.0.0.1/x.mp4\n", "clicks": [[0, 5, 5, 1, 1]]},
    "empty": {"clip": b"", "clicks": [[0, 5, 5, 1, 1]]},
    "cut": {"cut": 0.4, "clicks": [[0, 5, 5, 1, 1]]},
    "outside": {"clicks": [[0, 9999, 5, 1, 1]]},
    "no prompt": {"clicks": []},
    "preset": {"clicks": [[0, 5, 5, 1, 1]], "preset": "everything"},
}


def make_clip(path: Path, number: int) -> list[list[int]]:
    """A clip that no other visitor has (length, size, colour); the click on its object comes back."""
    rng = np.random.default_rng(number)
    frames, height, width = 20 + 3 * number, 96 + 16 * (number % 3), 128 + 16 * number
    ground = np.kron(rng.integers(40, 140, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    colour = rng.integers(0, 2, 3) * 200 + 30
    with av.open(path, "w") as clip:
        stream = clip.add_stream("libx264", 20)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(frames):
            frame = ground.copy()
            frame[20:60, 10 + t : 50 + t] = colour
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        clip.mux(stream.encode(None))
    return [[0, 30, 40, 1, 1]]


class Visitor:
    """One client with one clip; counts what becomes of its requests."""

    def __init__(self, number: int, folder: Path, address: str):
        self.number, self.folder, self.rng = number, folder, random.Random(number)
        self.path = folder / f"visitor{number}.mp4"
        self.clicks = make_clip(self.path, number)
        headers = {"X-Forwarded-For": f"203.0.113.{number}"}
        down = str(folder / f"down{number}")
        self.client = Client(address, verbose=False, download_files=down, headers=headers)
        self.count: Counter = Counter()
        self.told: list[str] = []
        self.waits: list[float] = []  # seconds from a good request to its answer
        self.alone = (self.segment(), self.click())

    def segment(self) -> str:
        """A digest of all masks of this visitor's clip."""
        _, archive, _ = self.client.predict(
            video=handle_file(self.path), clicks=self.clicks, size=96, api_name="/segment"
        )
        with zipfile.ZipFile(archive) as pack:
            parts = [pack.read(name) for name in sorted(pack.namelist()) if name.startswith("masks/")]
        return hashlib.sha256(b"".join(parts)).hexdigest() + f" {len(parts)}"

    def click(self) -> str:
        """A digest of the mask of frame 3."""
        picture = self.client.predict(
            video=handle_file(self.path), frame=3, clicks=[row[1:] for row in self.clicks], api_name="/click"
        )
        return hashlib.sha256(Path(picture).read_bytes()).hexdigest()

    def refused(self) -> None:
        """A request that must be turned down."""
        name, how = self.rng.choice(list(REFUSALS.items()))
        path = self.path
        if "clip" in how or "cut" in how:
            path = self.folder / f"bad{self.number}.mp4"
            data = self.path.read_bytes()
            path.write_bytes(how.get("clip", data[: int(len(data) * how.get("cut", 1))]))
        self.client.predict(
            video=handle_file(path),
            clicks=how["clicks"],
            preset=how.get("preset", "bounded"),
            api_name="/segment",
        )
        raise RuntimeError(f"a request that is wrong ({name}) was answered")

    def cancelled(self) -> None:
        """Change one's mind at some moment of a run."""
        job = self.client.submit(
            video=handle_file(self.path), clicks=self.clicks, size=96, api_name="/segment"
        )
        time.sleep(self.rng.uniform(0, 1.5))
        job.cancel()
        self.count["cancelled"] += 1

    def act(self) -> None:
        """One visit."""
        what = self.rng.choices(("segment", "click", "refused", "cancelled"), (5, 3, 2, 2))[0]
        try:
            if what in ("segment", "click"):
                begin = time.monotonic()
                same = getattr(self, what)() == self.alone[what == "click"]
                self.waits.append(time.monotonic() - begin)
                self.count["completed" if same else "leaks"] += 1
            else:
                getattr(self, what)()
        except (AppError, ValueError) as error:
            text = str(error)
            clear = len(text) > 20 and "Traceback" not in text and "went wrong" not in text
            expected = what == "refused"
            self.note("refused with a message" if clear and expected else "failed", what, error)
        except CancelledError:
            self.count["cancelled"] += 1
        except Exception as error:  # whatever it is, it must be counted
            self.note("failed", what, error)

    def note(self, outcome: str, what: str, error: Exception) -> None:
        """Count an outcome, and keep what was said if it is a failure."""
        self.count[outcome] += 1
        if outcome == "failed":
            self.told.append(f"visitor {self.number}, {what}: {type(error).__name__}: {error}")

    def stay(self, end: float) -> None:
        """Act until the end."""
        while time.monotonic() < end:
            self.act()


class Greedy(Visitor):
    """Sends large clips, many at once, and waits for none of them."""

    def __init__(self, number: int, folder: Path, address: str):
        super().__init__(number, folder, address)
        data = self.path.read_bytes()
        free = LARGE_MB * 2**20  # a box that decoders skip makes a clip large
        self.path.write_bytes(data + (free + 8).to_bytes(4, "big") + b"free" + os.urandom(free))
        self.jobs: list = []

    def act(self) -> None:
        """One more request, unless AT_ONCE are under way."""
        going = [job for job in self.jobs if not job.done()]
        for job in set(self.jobs) - set(going):
            self.settle(job)
        self.jobs = going
        if len(going) >= AT_ONCE:
            time.sleep(0.05)
            return
        what = {"clicks": self.clicks, "size": 96, "api_name": "/segment"}
        self.jobs.append(self.client.submit(video=handle_file(self.path), **what))

    def settle(self, job) -> None:
        """Count what became of a request."""
        try:
            job.result()
            self.count["completed"] += 1
        except ValidationError as error:
            self.count["refused for its greed"] += 1
            self.told = [str(error).splitlines()[-1]]
        except HTTPStatusError as error:
            self.count["uploads not received" if error.response.status_code == 413 else "failed"] += 1
        except (CancelledError, Exception):  # it must be counted
            self.count["failed"] += 1

    def stay(self, end: float) -> None:
        """Act until the end, then give up what is under way."""
        super().stay(end)
        for job in self.jobs:
            job.cancel()


def run(args: argparse.Namespace, folder: Path) -> int:
    """Everything; the exit code."""
    server, over = Server(folder, args.weights, args.device), threading.Event()
    try:
        server.wait()
        kinds = [Visitor] * (args.visitors - 1) + [Greedy]
        visitors = [kind(number, folder, server.address) for number, kind in enumerate(kinds)]
        greedy, patient = visitors[-1], visitors[:-1]
        threading.Thread(target=server.watch, args=(over,), daemon=True).start()
        end = time.monotonic() + 60 * args.minutes
        threads = [threading.Thread(target=visitor.stay, args=(end,)) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        count = sum((visitor.count for visitor in patient), Counter())
        for visitor in visitors:
            print(*visitor.told, sep="\n", end="\n" * bool(visitor.told), file=sys.stderr)
            visitor.client.close()
        most, patience = len(server.files()), time.monotonic() + 60 * (LIFETIME_MINUTES + 1.5)
        while (left := server.files()) and time.monotonic() < patience:
            time.sleep(1)
        for path in sorted(left)[:20]:
            print(f"left behind: {path}", file=sys.stderr)
        rested = server.bytes()
        alive = server.process.poll() is None
    finally:
        over.set()
        server.process.terminate()
        server.process.wait(30)
    held_back = greedy.count["refused for its greed"] + greedy.count["uploads not received"]
    served = all(visitor.count["completed"] for visitor in patient)
    good = alive and not count["failed"] and not count["leaks"] and not left and served and held_back
    waits = sorted(wait for visitor in patient for wait in visitor.waits) or [float("nan")]
    rows = {
        **{key: count[key] for key in ("completed", "refused with a message", "cancelled", "failed")},
        "answers of another visitor": count["leaks"],
        "completed, of each patient visitor": ", ".join(str(one.count["completed"]) for one in patient),
        "wait for an answer: median, longest": f"{waits[len(waits) // 2]:.1f} s / {waits[-1]:.1f} s",
        "the greedy one": ", ".join(f"{value} {key}" for key, value in greedy.count.items()),
        "memory before, at most, afterwards": " / ".join(
            f"{value / 2**20:,.0f} MB" for value in (server.start, server.peak, rested)
        ),
        "files at the end of the visit, after their lifetime": f"{most} / {len(left)}",
        "server still alive": "yes" if alive else "no",
    }
    print(
        f"{args.visitors} visitors, {args.minutes:g} minutes, {args.weights}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}\n"
    )
    print("| | |\n|---|---|")
    for key, value in rows.items():
        print(f"| {key} | {value} |")
    return 0 if good else 1


def main(measure: Callable[[argparse.Namespace, Path], int], told: str, **defaults: float) -> int:
    """Read the options, numbers with these defaults, and measure in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--weights", default="compact")
    parser.add_argument("--device", default="auto")
    with tempfile.TemporaryDirectory() as folder:
        return measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    sys.exit(main(run, __doc__, visitors=8, minutes=3.0))
