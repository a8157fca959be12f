"""Many clips: one process a clip, several at a time, on this machine or on a Ray cluster.

A clip that fails, or crashes its process, costs nobody else anything.  `summary.json` is written after
every clip; a second run does what is missing, and what has changed in the list or the options.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .errors import OptionError
from .output import write_json

SUMMARY = "summary.json"
CORES_PER_CLIP = 4  # threads that one clip uses well
PATHS = ("--mask", "--weights")  # options whose value is a path, relative to the list
# exit codes of a process that was asked to end
INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


@dataclass(frozen=True)
class Job:
    """One line of the list."""

    name: str  # folder of its results
    arguments: tuple[str, ...]  # of `segment`, without --out
    out: str

    @property
    def command(self) -> list[str]:
        """What runs it."""
        return [sys.executable, "-m", "stm_core", "segment", *self.arguments, "--out", self.out]


def read_list(path: Path, out: Path, shared: Sequence[str] = ()) -> list[Job]:
    """The jobs of a list; `shared` options come first, so that a line may override them.  Raises
    OptionError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"the list {path} cannot be read: {getattr(error, 'strerror', None) or error}; "
            "give a text file with a clip per line"
        ) from error
    jobs, taken = [], set()
    for number, line in enumerate(lines, 1):
        try:
            words = _words(line)
        except ValueError as error:
            raise OptionError(f"{path}, line {number}: {error}; check the quotes") from error
        if not words:
            continue
        if "--out" in words or any(word.startswith("--out=") for word in words):
            raise OptionError(
                f"{path}, line {number}: --out belongs to the command, not to a line; remove it"
            )
        words = _relative_to(path.parent.resolve(), words)
        name = _unique(Path(words[0]).resolve().stem or "clip", taken)
        jobs.append(Job(name, (*shared, *words), str(out.resolve() / name)))
    if not jobs:
        raise OptionError(
            f"the list {path} has no clip; write `CLIP --mask M.png` or `CLIP --click X,Y` on a line"
        )
    return jobs


def _words(line: str) -> list[str]:
    """The words of a line, without its comment.  ValueError when a quote is not closed."""
    escape = "" if os.name == "nt" else "\\"  # C:\clips\dog.mp4
    reader = shlex.shlex(_without_comment(line, escape), posix=True)
    reader.whitespace_split, reader.commenters, reader.escape = True, "", escape
    return list(reader)


def _without_comment(line: str, escape: str) -> str:
    """The line up to a # that begins a word and is in no quotes."""
    quote, escaped, between = "", False, True
    for n, letter in enumerate(line):
        if escaped:
            escaped = between = False
            continue
        if letter == escape and quote != "'":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and between:
            return line[:n]
        between = not quote and letter.isspace()
    return line


def _relative_to(folder: Path, words: list[str]) -> list[str]:
    """The words of a line with its paths resolved from the list's folder."""
    words = [str(folder / words[0]), *words[1:]]
    for n, word in enumerate(words[1:], 1):
        option, _, value = word.partition("=")
        if words[n - 1] in PATHS:
            words[n] = _resolved(folder, words[n - 1], word)
        elif value and option in PATHS:
            words[n] = f"{option}={_resolved(folder, option, value)}"
    return words


def _resolved(folder: Path, option: str, value: str) -> str:
    """The value with its path resolved; weights may be the name `compact`, or have `paper:` before a path."""
    if option == "--weights" and value in ("compact", "paper:"):
        return value
    kind = "paper:" if option == "--weights" and value.startswith("paper:") else ""
    return f"{kind}{folder / value.removeprefix(kind)}"


def _unique(name: str, taken: set[str]) -> str:
    """The name, or name-2, name-3 ...: two clips of a list may share their file name."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    taken.add(candidate)
    return candidate


def run_batch(
    path: Path,
    out: Path,
    shared: Sequence[str] = (),
    *,
    workers: int | None = None,
    ray_address: str | None = None,
) -> list[dict]:
    """Run the list; one dictionary a clip comes back: name, status (done, failed, interrupted), seconds,
    frames, error.

    workers: clips at a time.  ray_address: None for plain local processes, "" for a local Ray, else a
    cluster's address.
    """
    jobs = read_list(path, out, shared)
    done = _finished(out, jobs)
    todo = [job for job in jobs if job.name not in done]
    results = dict(done)
    workers = workers or max(1, (os.cpu_count() or 1) // CORES_PER_CLIP)
    engine = _local(todo, workers) if ray_address is None else _ray(todo, ray_address, workers)
    _make(out)
    _summarise(out, jobs, results)  # what is done again is not done, also when this run is cut off
    bar = tqdm(
        total=len(jobs), initial=len(done), unit=" clips", file=sys.stderr, disable=not sys.stderr.isatty()
    )
    with bar:
        for job, outcome in engine:
            results[job.name] = {"name": job.name, **outcome, "arguments": list(job.arguments)}
            _summarise(out, jobs, results)
            bar.update()
    _summarise(out, jobs, results)
    return [results[job.name] for job in jobs]


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"cannot write to {out}: {error.strerror}; choose another --out") from error


def _finished(out: Path, jobs: Sequence[Job]) -> dict[str, dict]:
    """What an earlier run has done already, with the same arguments and its report still there."""
    try:
        before = {one["name"]: one for one in json.loads((out / SUMMARY).read_text())["clips"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {
        job.name: before[job.name]
        for job in jobs
        if before.get(job.name, {}).get("status") == "done"
        and before[job.name].get("arguments") == list(job.arguments)
        and (Path(job.out) / "report.json").is_file()
    }


def _summarise(out: Path, jobs: Sequence[Job], results: dict[str, dict]) -> None:
    clips = [results[job.name] for job in jobs if job.name in results]
    write_json(
        out / SUMMARY,
        {
            "clips": clips,
            "done": sum(one["status"] == "done" for one in clips),
            "failed": sum(one["status"] != "done" for one in clips),
            "waiting": len(jobs) - len(clips),
        },
    )


def _local(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, dict]]:
    """Run jobs in child processes, `workers` at a time; yields in the order of finishing."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    children: list[subprocess.Popen] = []
    ending = False

    def on_start(child: subprocess.Popen) -> None:
        children.append(child)
        if ending:
            child.terminate()

    with ThreadPoolExecutor(workers) as pool:
        options = threads, os.getcwd(), on_start
        running = {pool.submit(run_job, job.command, job.out, *options): job for job in jobs}
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    try:
                        outcome = future.result()
                    except Exception as error:  # whatever befell one clip, the others go on
                        outcome = _failed(error)
                    yield running.pop(future), outcome
        finally:
            for future in running:
                future.cancel()
            ending = True
            for child in children:  # when this command is told to end, so are they
                if child.poll() is None:
                    child.terminate()


def run_job(
    command: Sequence[str],
    out: str,
    threads: int,
    folder: str,
    on_start: Callable[[subprocess.Popen], None] | None = None,
) -> dict:
    """Run one clip in a process of its own: status, seconds, frames, error.

    folder: where relative paths begin.  on_start: told of the process.  error: what it said last, or None.
    """
    begin = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": _python_path()}
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return _failed(f"its process cannot be started: {error.strerror or error}")
    if on_start is not None:
        on_start(child)
    try:
        _, stderr = child.communicate()
    except BaseException:
        child.kill()
        child.wait()
        raise
    seconds = round(time.perf_counter() - begin, 3)
    if child.returncode != 0:
        said = [line for line in stderr.splitlines() if line.strip()]
        told = said and child.returncode > 0  # else it was killed, and what it said is of before
        error = said[-1].removeprefix("stm_core: ") if told else _code(child.returncode)
        return _failed(error, seconds, "interrupted" if child.returncode in INTERRUPTED else "failed")
    try:
        frames = json.loads((Path(out) / "report.json").read_text())["frames_out"]
    except (OSError, ValueError, KeyError, TypeError):
        return _failed(
            "its process left no report.json that can be read; look at its line of the list", seconds
        )
    return {"status": "done", "seconds": seconds, "frames": frames, "error": None}


def _code(code: int) -> str:
    hint = ", as happens when memory runs out" if code == -9 else ""
    return f"its process ended with code {code}{hint}"


def _failed(error: object, seconds: float = 0.0, status: str = "failed") -> dict:
    """The outcome of a clip that gave nothing, with the first line of what is known about it."""
    lines = str(error).splitlines() or [type(error).__name__]
    return {"status": status, "seconds": seconds, "frames": 0, "error": lines[0]}


def _python_path() -> str:
    """This package must be found by the child, wherever it is started."""
    here = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _ray(jobs: Sequence[Job], address: str, workers: int) -> Iterator[tuple[Job, dict]]:
    """The same on a Ray cluster whose machines see the same folders; yields in the order of finishing."""
    try:
        import ray
    except ImportError as error:
        raise OptionError(
            "--ray needs the package ray, which is not installed; `pip install ray`, "
            "or leave --ray out for plain local processes"
        ) from error
    local = {"num_cpus": workers} if not address else {"address": address}
    ray.init(**local, log_to_driver=False, logging_level=logging.ERROR)
    try:
        remote = ray.remote(num_cpus=1, max_retries=2)(run_job)
        threads = max(1, (os.cpu_count() or 1) // workers)
        running = {remote.remote(job.command, job.out, threads, os.getcwd()): job for job in jobs}
        yield from _ray_results(ray, running)
    finally:
        ray.shutdown()


def _ray_results(ray, running: dict) -> Iterator[tuple[Job, dict]]:
    while running:
        (reference,), _ = ray.wait(list(running), num_returns=1)
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayError as error:
            outcome = _failed(error)
        yield running.pop(reference), outcome
