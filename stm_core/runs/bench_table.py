"""The rows of a benchmark as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from stm_core.runs.bench_case import MARKS
from stm_core.runs.machine import in_words


def markdown(rows: Sequence[dict]) -> str:
    """The table, in milliseconds and MiB, and the processor below it."""
    head = [
        "network",
        "size",
        "dtype",
        "engine",
        "memory",
        "objects",
        "frames/s",
        "ms/frame (p95)",
        *(f"at {mark:,} (p95)" for mark in MARKS),
        "held",
        "bank MiB (predicted)",
        "read MiB (predicted)",
        "process MiB",
        "CUDA MiB",
    ]
    with_files = any(row.get("command_fps") for row in rows)
    head += ["command frames/s"] if with_files else []
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cells(row, with_files)) + " |" for row in rows]
    measured = [row for row in rows if "cpu" in row]
    return "\n".join([*lines, *(["", in_words(measured[0])] if measured else [])])


def _cells(row: dict, with_files: bool) -> list[str]:
    network = row["network"] + (" (random weights)" if row["random_weights"] else "")
    cells = [network, f"{row['height']}x{row['width']}", row["dtype"], row["engine"]]
    cells += [row["preset"], str(row["objects"])]
    if "error" in row:
        return [*cells, row["error"]]
    mib = {name: f"{row[name] / 2**20:.1f}" for name in row if name.endswith("_bytes")}
    cells += [
        f"{row['fps']:.1f}",
        _milliseconds(row["seconds"]),
        *(_milliseconds(row["at"][str(m)]) for m in MARKS),
        str(row["frames_held"]),
        f"{mib['bank_bytes']} ({mib['predicted_bank_bytes']})",
        f"{mib['read_peak_bytes']} ({mib['predicted_read_peak_bytes']})",
        mib["process_peak_bytes"],
        mib["cuda_peak_bytes"] if row["device"].startswith("cuda") else "–",
    ]
    return cells + ([f"{row['command_fps']:.1f}"] if with_files else [])


def _milliseconds(times: dict | None) -> str:
    return f"{1000 * times['median']:.1f} ({1000 * times['p95']:.1f})" if times else "–"
