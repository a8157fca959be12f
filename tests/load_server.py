"""The page as a process of its own, for the scripts that put a load on it."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
LIFETIME_MINUTES = 1
CALLER_MB = 100  # disk of one caller


class Server:
    """The page in a process of its own; `peak` is the most memory that it and its helpers took, in bytes."""

    def __init__(self, folder: Path, weights: str, device: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.places = (folder / "clips", folder / "gradio")
        env = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(self.places[1])}
        words = [
            "--port",
            str(self.port),
            "--weights",
            weights,
            "--device",
            device,
            "--cache",
            str(self.places[0]),
        ]
        words += ["--lifetime-minutes", str(LIFETIME_MINUTES), "--answer-minutes", str(LIFETIME_MINUTES)]
        words += ["--caller-mb", str(CALLER_MB)]
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "app.py", *words],
            cwd=ROOT,
            env=env,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self.peak, self.start, self.own = 0, 0, set()
        self.address = f"http://127.0.0.1:{self.port}/"

    def wait(self) -> None:
        """Return when the page answers."""
        while self.process.poll() is None:
            try:
                urllib.request.urlopen(self.address + "config", timeout=5).close()
                self.start, self.own = self.bytes(), self.files()
                return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(self.log.read_text())

    def bytes(self) -> int:
        """Memory now: proportional share where the system tells it, so that shared pages count once."""
        total = 0
        for process in [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]:
            try:
                full = process.memory_full_info()
                total += getattr(full, "pss", 0) or full.rss
            except psutil.Error:
                continue  # it has just ended
        return total

    def watch(self, until: threading.Event) -> None:
        """Keep `peak` up to date until told to stop."""
        while not until.wait(0.5):
            self.peak = max(self.peak, self.bytes())

    def files(self) -> set[Path]:
        """Files on the disk that were not there before the first visitor."""
        walks = (walk for place in self.places for walk in os.walk(place))  # folders may vanish meanwhile
        found = {Path(folder, name) for folder, _, names in walks for name in names}
        return found - self.own
