"""Folders as DAVIS and YouTube-VOS lay them out: palette PNGs whose values are the object ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from stm_core.export.order import Format, Order, jpeg
from stm_core.export.sinks import Sink
from stm_core.masks.mask_files import encode_mask, object_ids

LIST = "ImageSets/2017/val.txt"
META = "meta.json"


def _names(order: Order, level: str, extra: str) -> Iterator[str]:
    for index in order.result.frames:
        yield f"Annotations/{level}{order.sequence}/{index:05d}.png"
        if order.result.clip is not None:
            yield f"JPEGImages/{level}{order.sequence}/{index:05d}.jpg"
    yield extra


def _write(order: Order, sink: Sink, level: str, extra: str) -> Iterator[int]:
    seen: dict[int, list[str]] = {}
    for done, shot in enumerate(order.shots(), 1):
        sink.add(f"Annotations/{level}{order.sequence}/{shot.index:05d}.png", encode_mask(shot.labels))
        if shot.image is not None:
            sink.add(f"JPEGImages/{level}{order.sequence}/{shot.index:05d}.jpg", jpeg(shot.image))
        for number in object_ids(shot.labels):
            seen.setdefault(number, []).append(f"{shot.index:05d}")
        yield done
    objects = {
        str(number): {"category": order.label(number), "frames": frames} for number, frames in seen.items()
    }
    about = {"videos": {order.sequence: {"objects": objects}}}
    text = f"{order.sequence}\n" if extra == LIST else json.dumps(about, indent=1)
    sink.add(extra, text.encode())


DAVIS = Format(
    "davis",
    "Folders as in DAVIS 2017: JPEGImages, Annotations and ImageSets, for scoring and training",
    *(".png", "{frame}", ("frame",), "beside"),
    partial(_names, level="480p/", extra=LIST),
    partial(_write, level="480p/", extra=LIST),
)
YOUTUBE = Format(
    "youtube-vos",
    "Folders as in YouTube-VOS: JPEGImages, Annotations and meta.json",
    *(".png", "{frame}", ("frame",), "beside"),
    partial(_names, level="", extra=META),
    partial(_write, level="", extra=META),
)
