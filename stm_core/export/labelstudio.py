"""Label Studio: a list of tasks, one a frame, with masks as brush strokes.

`config.xml` is the labelling interface that the tasks are for: paste it into the project's settings first.
A brush is the mask as an RGBA picture, packed bit by bit.  First 32 bits: how many values there are; 5 bits:
the size of a value less one; four times 4 bits: the sizes, less one, in which lengths are written.  Then for
each run: 1 bit, whether one value repeats; 2 bits, which of the four sizes; the length less one; and the
repeated value or all values.
Sources: https://labelstud.io/guide/predictions, https://github.com/thi-ng/umbrella (package rle-pack)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from stm_core.export.order import Format, Order, jpeg, masks_of
from stm_core.export.sinks import Sink
from stm_core.masks.rle import counts_of

PICTURES, CONFIG = "images", "config.xml"
TAG, PICTURE = "tag", "image"  # names of the interface's parts, to which the tasks refer
SIZES = (3, 4, 8, 16)  # bits of a length


def _names(order: Order) -> Iterator[str]:
    yield f"{order.stem()}.json"
    yield CONFIG
    yield from order.pictures(PICTURES)


def _write(order: Order, sink: Sink) -> Iterator[int]:
    tasks = []
    for done, shot in enumerate(order.shots(), 1):
        name = order.picture(PICTURES, shot.index)
        if shot.image is not None:
            sink.add(name, jpeg(shot.image))
        found = [
            _brush(f"{shot.index}-{number}", order.label(number), mask)
            for number, mask in masks_of(shot, order.result.objects)
        ]
        tasks.append({"data": {"image": name, "frame": shot.index}, "annotations": [{"result": found}]})
        yield done
    sink.add(f"{order.stem()}.json", json.dumps(tasks).encode())
    sink.add(CONFIG, _interface(order))


def _interface(order: Order) -> bytes:
    root = ElementTree.Element("View")
    ElementTree.SubElement(root, "Image", name=PICTURE, value="$image")
    labels = ElementTree.SubElement(root, "BrushLabels", name=TAG, toName=PICTURE)
    for number in order.result.objects:
        ElementTree.SubElement(labels, "Label", value=order.label(number))
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, "utf-8")


def _brush(name: str, label: str, mask: np.ndarray) -> dict:
    return {
        "id": name,
        "type": "brushlabels",
        "from_name": TAG,
        "to_name": PICTURE,
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": list(pack(mask)), "brushlabels": [label]},
    }


def pack(mask: np.ndarray) -> bytes:
    """The bool (H, W) mask as a brush."""
    bits = [f"{4 * mask.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    most = 1 << SIZES[-1]
    for n, count in enumerate(counts_of(mask.ravel())):
        left = 4 * count  # red, green, blue and alpha of each pixel
        while left:
            length = min(left, most)
            which = next(i for i, size in enumerate(SIZES) if length <= 1 << size)
            bits.append(f"1{which:02b}{length - 1:0{SIZES[which]}b}{255 * (n % 2):08b}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


FORMAT = Format(
    "labelstudio",
    "Label Studio JSON: a task per frame with a brush per object, the interface for it, and the frames",
    *(".jpg", "{clip}_{frame}", ("frame",), "beside"),
    _names,
    _write,
)
