"""COCO: one JSON file, each mask in compressed runs, which keep holes and every pixel.

An object is a category with its id, so that it keeps its id through the clip.  The folders are those that
CVAT and datumaro expect.
Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from stm_core.export.order import Format, Order, box, jpeg, masks_of
from stm_core.export.sinks import Sink
from stm_core.masks.rle import coco_counts, compress

PICTURES, ANNOTATIONS = "images/default", "annotations/instances_default.json"


def _names(order: Order) -> Iterator[str]:
    yield ANNOTATIONS
    yield from order.pictures(PICTURES)


def _write(order: Order, sink: Sink) -> Iterator[int]:
    size = {"width": order.result.width, "height": order.result.height}
    images: list[dict] = []
    rows: list[dict] = []
    for done, shot in enumerate(order.shots(), 1):
        name = order.picture(PICTURES, shot.index)
        bare = name.rpartition("/")[2]
        images.append({"id": shot.index + 1, "file_name": bare, **size, "frame": shot.index})
        if shot.image is not None:
            sink.add(name, jpeg(shot.image))
        for number, mask in masks_of(shot, order.result.objects):
            rows.append({"id": len(rows) + 1, "image_id": shot.index + 1, **_annotation(number, mask)})
        yield done
    categories = [
        {"id": number, "name": order.label(number), "supercategory": "object"}
        for number in order.result.objects
    ]
    content = {
        "info": {"description": order.result.name},
        "licenses": [],
        "images": images,
        "annotations": rows,
        "categories": categories,
    }
    sink.add(ANNOTATIONS, json.dumps(content).encode())


def _annotation(number: int, mask: np.ndarray) -> dict:
    return {
        "category_id": number,
        "segmentation": {"size": list(mask.shape), "counts": compress(coco_counts(mask))},
        "area": int(mask.sum()),
        "bbox": list(box(mask)),
        "iscrowd": 0,
        "track_id": number,
    }


FORMAT = Format(
    "coco",
    "COCO JSON with one compressed mask per object and frame, and the frames as JPEG",
    *(".jpg", "{clip}_{frame}", ("frame",), "beside"),
    _names,
    _write,
)
