"""LabelMe: a JSON file a frame; an object is a `mask` shape, which keeps holes (LabelMe 5.2 or newer).

Source: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np

from stm_core.export.order import Format, Order, box, jpeg, masks_of, png
from stm_core.export.sinks import Sink


def _names(order: Order) -> Iterator[str]:
    for index in order.result.frames:
        yield f"{order.stem(frame=index)}.json"
        if order.result.clip is not None:
            yield f"{order.stem(frame=index)}.jpg"


def _write(order: Order, sink: Sink) -> Iterator[int]:
    for done, shot in enumerate(order.shots(), 1):
        name = order.stem(frame=shot.index)
        if shot.image is not None:
            sink.add(f"{name}.jpg", jpeg(shot.image))
        found = masks_of(shot, order.result.objects)
        content: dict[str, object] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(order.label(number), number, mask) for number, mask in found],
            "imagePath": f"{name}.jpg",
            "imageData": None,
            "imageHeight": order.result.height,
            "imageWidth": order.result.width,
        }
        sink.add(f"{name}.json", json.dumps(content).encode())
        yield done


def _shape(label: str, number: int, mask: np.ndarray) -> dict:
    left, top, width, height = box(mask)
    inside = mask[top : top + height, left : left + width]
    return {
        "label": label,
        "points": [[left, top], [left + width - 1, top + height - 1]],  # both inside
        "group_id": number,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png(inside.astype(np.uint8) * 255)).decode(),
    }


FORMAT = Format(
    "labelme",
    "LabelMe: a JSON file per frame with a mask per object, beside the frame",
    *(".json", "{clip}_{frame}", ("frame",), "beside"),
    _names,
    _write,
)
