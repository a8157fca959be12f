"""The clips of a batch, each in a process of its own: on this machine, or on a Ray cluster."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from stm_core.errors import OptionError
from stm_core.faults import FAULT
from stm_core.runs.batch_list import Job

# exit codes of a process that was asked to end
INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


def run_local(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, dict]]:
    """Run jobs in child processes, `workers` at a time; yields in the order of finishing."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    children: list[subprocess.Popen] = []
    ending = False

    def on_start(child: subprocess.Popen) -> None:
        children.append(child)
        if ending:
            child.terminate()

    with ThreadPoolExecutor(workers) as pool:
        options = threads, str(Path.cwd()), on_start
        running = {pool.submit(run_job, job.command, job.out, *options): job for job in jobs}
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    try:
                        outcome = future.result()
                    except Exception as error:  # an error of one clip does not stop the others
                        outcome = _failed(error)
                    yield running.pop(future), outcome
        finally:
            for future in running:
                future.cancel()
            ending = True
            for child in children:  # they end with this command
                if child.poll() is None:
                    child.terminate()


def run_job(
    command: Sequence[str],
    out: str,
    threads: int,
    folder: str,
    on_start: Callable[[subprocess.Popen], None] | None = None,
) -> dict:
    """Run one clip in a process of its own: status, seconds, frames, error; fault, if the error is ours.

    folder: working folder of the process.  on_start: called with the process.
    In the result, error is the last line that the process wrote to stderr, or None.
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
        told = said and child.returncode > 0  # a killed process said nothing about its end
        why = said[-1].removeprefix("stm_core: ") if told else _code(child.returncode)
        outcome = _failed(why, seconds, "interrupted" if child.returncode in INTERRUPTED else "failed")
        return outcome | {"fault": True} if child.returncode == FAULT else outcome
    try:
        frames = json.loads((Path(out) / "report.json").read_text())["frames_out"]
    except (OSError, ValueError, KeyError, TypeError):
        return _failed("its process left no readable report.json; check its line in the list", seconds)
    return {"status": "done", "seconds": seconds, "frames": frames, "error": None}


def _code(code: int) -> str:
    hint = ", probably because memory ran out" if code == -9 else ""
    return f"its process ended with code {code}{hint}"


def _failed(error: object, seconds: float = 0.0, status: str = "failed") -> dict:
    """The outcome of a clip that failed, with the first line of its error."""
    lines = str(error).splitlines() or [type(error).__name__]
    return {"status": status, "seconds": seconds, "frames": 0, "error": lines[0]}


def _python_path() -> str:
    """The PYTHONPATH with which a child finds this package, in any working folder."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def run_on_ray(jobs: Sequence[Job], address: str, workers: int) -> Iterator[tuple[Job, dict]]:
    """The same on a Ray cluster whose machines see the same folders.  Raises OptionError without Ray."""
    try:
        import ray
    except ImportError as error:
        raise OptionError(
            "--ray needs the package ray, which is not installed; `pip install ray`, "
            "or leave --ray out for plain local processes"
        ) from error
    return _run_with(ray, jobs, address, workers)


def _run_with(ray: Any, jobs: Sequence[Job], address: str, workers: int) -> Iterator[tuple[Job, dict]]:
    local = {"num_cpus": workers} if not address else {"address": address}
    ray.init(**local, log_to_driver=False, logging_level=logging.ERROR)
    try:
        remote = ray.remote(num_cpus=1, max_retries=2)(run_job)
        threads = max(1, (os.cpu_count() or 1) // workers)
        running = {remote.remote(job.command, job.out, threads, str(Path.cwd())): job for job in jobs}
        yield from _ray_results(ray, running)
    finally:
        ray.shutdown()


def _ray_results(ray: Any, running: dict) -> Iterator[tuple[Job, dict]]:
    while running:
        (reference,), _ = ray.wait(list(running), num_returns=1)
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayError as error:
            outcome = _failed(error)
        yield running.pop(reference), outcome
