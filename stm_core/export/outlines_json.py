"""Outlines as paths, for scripts of After Effects and the like.

The paths of an object are in order: each adds what it encloses, or takes it away (a hole), which is what
mask modes do there.  `vertices` are x, y in pixels from the upper left corner of the picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from stm_core.export.finished_run import Shot
from stm_core.export.order import Format, Order, masks_of
from stm_core.export.sinks import Sink
from stm_core.masks.outlines import area, outlines


def _names(order: Order) -> Iterator[str]:
    yield f"{order.stem()}.json"


def _write(order: Order, sink: Sink) -> Iterator[int]:
    frames = []
    for done, shot in enumerate(order.shots(), 1):
        frames.append({"frame": shot.index, "seconds": shot.seconds, "objects": _objects(order, shot)})
        yield done
    clip = order.result.clip
    content = {
        "clip": order.result.name,
        "width": order.result.width,
        "height": order.result.height,
        "fps": clip.fps if clip else None,
        "frames": frames,
    }
    sink.add(f"{order.stem()}.json", json.dumps(content).encode())


def _objects(order: Order, shot: Shot) -> list[dict]:
    """Paths of the objects; an outer path comes before the holes in it, because it encloses more."""
    return [
        {
            "id": number,
            "name": order.label(number),
            "paths": [
                {"mode": "add" if area(loop) > 0 else "subtract", "closed": True, "vertices": loop.tolist()}
                for loop in outlines(mask)
            ],
        }
        for number, mask in masks_of(shot, order.result.objects)
    ]


FORMAT = Format(
    "outlines-json",
    "Outlines of every object as paths with holes, for After Effects scripts and vector tools",
    *(".json", "{clip}", (), ""),
    _names,
    _write,
)
