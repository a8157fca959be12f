"""The processor that a measurement ran on: its name, the instructions for convolutions, and the threads."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")  # Linux alone has it
EXTENSIONS = {"avx512_vnni": "VNNI", "avx_vnni": "VNNI", "avx512_bf16": "bf16", "amx_int8": "AMX"}
LIMIT = "ONEDNN_MAX_CPU_ISA"  # with which a user limits PyTorch and OpenVINO to older instructions


def machine() -> dict:
    """{cpu, isa, threads} as rows of measurements carry it.

    isa: the vector instructions that PyTorch uses, what the processor has beyond them for bf16 and int8, and
        the limit that ONEDNN_MAX_CPU_ISA sets, if any.
    threads: how many compute one operation.
    """
    info = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    flags = fields.get("flags", "").split()
    beyond = dict.fromkeys(word for flag, word in EXTENSIONS.items() if flag in flags)
    words = [torch.backends.cpu.get_cpu_capability(), *beyond]
    if os.environ.get(LIMIT):
        words.append(f"held to {os.environ[LIMIT]}")
    name = fields.get("model name") or platform.processor() or platform.machine()
    return {"cpu": name, "isa": " ".join(words), "threads": torch.get_num_threads()}


def in_words(row: dict) -> str:
    """The same in one line, under a table."""
    return f"{row['cpu']}; {row['isa']}; {row['threads']} thread{'s' * (row['threads'] > 1)}"
