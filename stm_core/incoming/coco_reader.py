"""COCO JSON: masks as compressed or plain runs, or as polygons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from stm_core.errors import MaskError
from stm_core.incoming.numbering import check_size, frames_of, ids_of
from stm_core.incoming.polygons import enclosed
from stm_core.masks.rle import mask_of_coco

TRACKS = ("track_id", "instance_id")  # which object it is, where the category only says what kind


def read_coco(data: bytes, name: str, size: tuple[int, int], frames: int) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, labels uint8 (H, W)) of each image.  Raises MaskError."""
    images, rows = _content(data, name)
    for image in images:
        height, width = image.get("height"), image.get("width")
        if isinstance(height, int) and isinstance(width, int):
            check_size(f"an image of {name!r}", (height, width), size)
    keys = [_object(row) for row in rows]
    ids = ids_of(keys, name)
    by_image: dict[Any, list[tuple[int, dict]]] = {}
    for row, key in zip(rows, keys, strict=True):
        by_image.setdefault(row.get("image_id"), []).append((ids[key], row))
    lost = set(by_image) - {image["id"] for image in images}
    if lost:
        raise MaskError(
            f"{name!r} has masks of image {min(map(str, lost))}, which it does not list; export it again"
        )
    numbers = _frames(images, frames, name)
    for number, image in sorted(zip(numbers, images, strict=True), key=lambda pair: pair[0]):
        labels = np.zeros(size, np.uint8)
        for object_id, row in by_image.get(image["id"], ()):
            labels[_mask(row.get("segmentation"), size, name)] = object_id
        yield number, labels


def _content(data: bytes, name: str) -> tuple[list[dict], list[dict]]:
    try:
        content = json.loads(data)
        images, rows = content["images"], content["annotations"]
        sound = all(isinstance(one, dict) for one in [*images, *rows])
        if not (sound and images and all(_hashable(image.get("id")) for image in images)):
            raise ValueError("no images")
    except (ValueError, TypeError, KeyError, RecursionError, UnicodeDecodeError) as error:
        raise MaskError(
            f"{name!r} is no COCO file: expected JSON with images and annotations; export it as COCO again"
        ) from error
    if not all(_hashable(row.get("image_id")) for row in rows):
        raise MaskError(f"{name!r} has a mask without an image_id; export it as COCO again")
    return images, rows


def _object(row: dict) -> int | str:
    """What identifies the object of an annotation; CVAT writes it among the attributes."""
    attributes = row.get("attributes")
    inside = attributes if isinstance(attributes, dict) else {}
    said = [*(place.get(key) for key in TRACKS for place in (row, inside)), row.get("category_id")]
    return next((one for one in said if isinstance(one, int | str) and _hashable(one)), 1)


def _hashable(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _frames(images: list[dict], frames: int, name: str) -> list[int]:
    said = [image.get("frame") for image in images]
    if all(type(one) is int and 0 <= one < frames for one in said) and len(set(said)) == len(said):
        return [int(str(one)) for one in said]
    return frames_of([str(image.get("file_name", image["id"])) for image in images], frames, name)


def _mask(shape: Any, size: tuple[int, int], name: str) -> np.ndarray:
    if isinstance(shape, dict) and isinstance(shape.get("size"), list) and len(shape["size"]) == 2:
        check_size(f"a mask of {name!r}", tuple(shape["size"]), size)
        return mask_of_coco(shape.get("counts", ""), *size, name)
    if isinstance(shape, list) and shape:
        found = np.zeros(size, bool)
        for ring in shape:
            found |= enclosed(ring, size, name)
        return found
    raise MaskError(f"{name!r} has an annotation without a mask; export masks or polygons, not boxes")
