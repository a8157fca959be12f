"""YOLO segmentation: a text file a frame, a line an object, with its outline in shares of the picture.

A line holds one outline.  Holes and separate pieces are joined to it by bridges of no width, which change no
pixel; if a reader draws outlines as lines, a bridge may become one pixel wide.
Ultralytics reads the folder as it is; datumaro knows only the boxes of YOLO, not its outlines.
Source: https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from stm_core.export.finished_run import Shot
from stm_core.export.order import Format, Order, jpeg, masks_of
from stm_core.export.sinks import Sink
from stm_core.masks.outlines import bridged, outlines

PICTURES, TEXTS, LIST = "images/train", "labels/train", "data.yaml"


def _names(order: Order) -> Iterator[str]:
    yield from (_text(order, index) for index in order.result.frames)
    yield from order.pictures(PICTURES)
    yield LIST


def _text(order: Order, index: int) -> str:
    return f"{TEXTS}/{order.stem(frame=index)}.txt"


def _write(order: Order, sink: Sink) -> Iterator[int]:
    numbers = {number: n for n, number in enumerate(order.result.objects)}  # classes count from 0
    for done, shot in enumerate(order.shots(), 1):
        sink.add(_text(order, shot.index), _lines(shot, numbers).encode())
        if shot.image is not None:
            sink.add(order.picture(PICTURES, shot.index), jpeg(shot.image))
        yield done
    # YAML reads JSON's strings, but not its pairs of escapes for one character.  Without `path` the folders
    # lie beside the file; `path: .` would be the folder that somebody happens to train in
    labels = (json.dumps(order.label(number), ensure_ascii=False) for number in numbers)
    names = [f"  {n}: {label}\n" for n, label in enumerate(labels)]
    sink.add(LIST, f"train: {PICTURES}\nval: {PICTURES}\nnames:\n{''.join(names)}".encode())


def _lines(shot: Shot, numbers: dict[int, int]) -> str:
    lines = []
    for number, mask in masks_of(shot, numbers):
        shares = bridged(outlines(mask)) / np.array(mask.shape[::-1])
        lines.append(f"{numbers[number]} {' '.join(f'{share:.7g}' for share in shares.ravel())}\n")
    return "".join(lines)


FORMAT = Format(
    "yolo",
    "YOLO segmentation: a text file per frame with one outline per object, the frames, and data.yaml",
    *(".txt", "{clip}_{frame}", ("frame",), "beside"),
    _names,
    _write,
)
