"""Where a frame's time goes: the parts of a step, their operations, and this machine's best speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.engines import TORCH
from stm_core.networks.interface import Network
from stm_core.networks.weights import Model
from stm_core.runs.machine import in_words, machine
from stm_core.runs.made_up import moving_clip

PARTS = ("encode_query", "read", "decode", "encode_memory")
WARM_UP = 10  # frames that are not counted
BEST_CHANNELS, BEST_SIZE = 128, (60, 108)  # the convolution that shows a machine's best: 3x3, dense


def profile(
    model: Model, size: tuple[int, int], memory: MemoryConfig, *, frames: int, objects: int
) -> list[dict]:
    """Rows {part, engine, seconds (mean per frame), share, gflop, gflops}, each with what `machine` says.

    Parts are the network's calls; `the rest` is scaling, masks and the report; the last row is one large
    convolution alone, for comparison.  gflop counts multiplications and additions; None for almost none.
    """
    height, width = size
    clip = moving_clip(height, width, frames, objects)
    first, labels = next(clip)
    warm = min(WARM_UP, frames // 2)
    spent, begun, steps, stored = dict.fromkeys(PARTS, 0.0), {}, [], []
    with _timed(model, spent):
        images = chain([first], (image for image, _ in clip))
        results = propagate(model, images, Prompt.from_mask(labels), memory=memory, size=min(size), ahead=0)
        for n, result in enumerate(results):
            steps.append(result.seconds)
            stored.append(len(result.memory.frames))
            if n + 1 == warm:
                begun = dict(spent)
    counted = frames - warm
    means = {name: (seconds - begun[name]) / counted for name, seconds in spent.items()}
    whole = sum(steps[warm:]) / counted
    means["the rest"] = whole - sum(means.values())
    read = stored[warm - 1 : -1]  # what each counted frame found in memory
    work = arithmetic(model.network, height, width, objects, sum(read) / counted)
    work = {name: flop for name, flop in work.items() if means[name]}  # `first` stores one frame for good
    rows = [_row(name, seconds, seconds / whole, work.get(name)) for name, seconds in means.items()]
    rows.append(_row("a frame", whole, 1.0, sum(work.values())))
    names = dict.fromkeys(PARTS, model.engine.name) | {"read": TORCH.name}
    return [{"engine": names.get(row["part"], ""), **machine(), **row} for row in [*rows, _best(model)]]


def arithmetic(network: Network, height: int, width: int, objects: int, stored: float) -> dict[str, float]:
    """Floating-point operations of each part for one frame, with so many frames in memory (a mean)."""
    rows, columns = (-(-side // network.stride) for side in (height, width))
    config = getattr(network, "config", None)
    with torch.device("meta"):
        bare = type(network)(config) if config else type(network)()
        bare.eval()
        frame = torch.zeros(1, 3, rows * network.stride, columns * network.stride)
        masks = torch.zeros(objects, *frame.shape[2:])
        values = torch.zeros(objects, network.value_channels, rows, columns)
        query, encoding = _counted(lambda: bare.encode_query(frame))
        _, decoding = _counted(lambda: bare.decode(values, query))
        _, remembering = _counted(lambda: bare.encode_memory(frame, masks, query))
    keys = 1 if network.shared_keys else objects
    channels = keys * network.key_channels + objects * network.value_channels
    reading = 2 * (rows * columns) ** 2 * stored * channels
    return dict(zip(PARTS, (encoding, reading, decoding, remembering), strict=True))


def markdown(rows: list[dict]) -> str:
    """The table, in milliseconds and GFLOP, and the processor below it."""
    lines = ["| part | engine | ms | share | GFLOP | GFLOP/s |", "|" + " --- |" * 6]
    for row in rows:
        share = "" if row["share"] is None else f"{row['share']:.0%}"
        work = ("", "") if row["gflop"] is None else (f"{row['gflop']:.1f}", f"{row['gflops']:.0f}")
        cells = (row["part"], row["engine"], f"{1000 * row['seconds']:.1f}", share, *work)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", in_words(rows[0])])


def _row(part: str, seconds: float, share: float | None, work: float | None) -> dict:
    gflop = None if work is None else work / 1e9
    rate = None if gflop is None else gflop / seconds
    return {"part": part, "seconds": seconds, "share": share, "gflop": gflop, "gflops": rate}


@torch.no_grad()
def _counted(call: Callable) -> tuple[Any, float]:
    with FlopCounterMode(display=False) as counter:
        result = call()
    return result, float(counter.get_total_flops())


@contextmanager
def _timed(model: Model, spent: dict[str, float]) -> Iterator[None]:
    """Inside, the network's calls add their seconds to `spent`."""

    def timing(name: str) -> Callable:
        inner = getattr(model.network, name)

        def call(*arguments: Any, **options: Any) -> Any:
            begin = _now(model)
            try:
                return inner(*arguments, **options)
            finally:
                spent[name] += _now(model) - begin

        return call

    try:
        for name in PARTS:
            setattr(model.network, name, timing(name))
        yield
    finally:
        for name in PARTS:
            model.network.__dict__.pop(name, None)


def _now(model: Model) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


@torch.inference_mode()
def _best(model: Model) -> dict:
    """One large convolution in the model's dtype: the best time of many."""
    layer = torch.nn.Conv2d(BEST_CHANNELS, BEST_CHANNELS, 3, padding=1)
    layer = layer.to(model.device, model.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, BEST_CHANNELS, *BEST_SIZE, device=model.device, dtype=model.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(60):
        begin = _now(model)
        layer(x)
        times.append(_now(model) - begin)
    work = 2 * 9 * BEST_CHANNELS**2 * BEST_SIZE[0] * BEST_SIZE[1]
    name = f"one 3x3 convolution, {BEST_CHANNELS} channels, {BEST_SIZE[0]}x{BEST_SIZE[1]}"
    return _row(name, min(times), None, work)
