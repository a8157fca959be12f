"""Many clips: one process a clip, several at a time, on this machine or on a Ray cluster.

A clip that fails, or crashes its process, does not affect the others.  `summary.json` is written after
every clip; a second run does only what is missing, or has changed in the list or the options.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from stm_core.errors import OptionError
from stm_core.media.files import write_whole
from stm_core.media.written import as_json, check_sealed, sealed
from stm_core.runs.batch_list import Job, read_list
from stm_core.runs.batch_run import run_local, run_on_ray

SUMMARY = "summary.json"
CORES_PER_CLIP = 4  # threads that one clip uses well


def run_batch(
    path: Path,
    out: Path,
    shared: Sequence[str] = (),
    *,
    workers: int | None = None,
    ray_address: str | None = None,
) -> list[dict]:
    """The outcome of each clip of the list, after all have run.

    workers: clips at a time.
    ray_address: None for plain local processes, "" for a local Ray, else the address of a cluster.
    Each is a dictionary: name, status (done, failed, interrupted), seconds, frames, error.
    """
    jobs = read_list(path, out, shared)
    check_sealed(out / SUMMARY)
    done = _finished(out, jobs)
    todo = [job for job in jobs if job.name not in done]
    results = dict(done)
    workers = workers or max(1, (os.cpu_count() or 1) // CORES_PER_CLIP)
    engine = run_local(todo, workers) if ray_address is None else run_on_ray(todo, ray_address, workers)
    _make(out)
    _summarise(out, jobs, results)  # if this run is interrupted, clips to be run again do not count as done
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
    content = {
        "clips": clips,
        "done": sum(one["status"] == "done" for one in clips),
        "failed": sum(one["status"] != "done" for one in clips),
        "waiting": len(jobs) - len(clips),
    }
    write_whole(out / SUMMARY, as_json(sealed(content)), lasting=True)
