"""CVAT for images 1.1: masks and polygons of an XML file."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from stm_core.errors import MaskError
from stm_core.incoming.numbering import check_size, frames_of, ids_of
from stm_core.incoming.polygons import enclosed
from stm_core.masks.rle import pixels_of

SHAPES = ("mask", "polygon")


def read_cvat(data: bytes, name: str, size: tuple[int, int], frames: int) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, labels uint8 (H, W)) of each image.  Raises MaskError."""
    root = _root(data, name)
    images = root.findall("image")
    if root.find("track") is not None or not images:
        raise MaskError(f"{name!r} holds no images; export it from CVAT as “CVAT for images 1.1”")
    shapes = [[one for one in image if one.tag in SHAPES] for image in images]
    if not any(shapes):
        raise MaskError(f"{name!r} holds no mask and no polygon; draw one, as boxes are not enough")
    listed = [one.text or "" for one in root.iterfind("meta//labels/label/name")]
    used = [shape.get("label", "") for found in shapes for shape in found]
    ids = ids_of([label for label in [*listed, *used] if label in set(used)], name)
    for image in images:
        check_size(
            f"an image of {name!r}", (_whole(image, "height", name), _whole(image, "width", name)), size
        )
    numbers = _frames(images, frames, name)
    order = sorted(zip(numbers, shapes, strict=True), key=lambda pair: pair[0])
    for number, found in order:
        labels = np.zeros(size, np.uint8)
        for shape in sorted(found, key=lambda one: _whole(one, "z_order", name, "0")):
            labels[_mask(shape, size, name)] = ids[shape.get("label", "")]
        yield number, labels


def _root(data: bytes, name: str) -> ElementTree.Element:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # CVAT writes none, and entities can blow up
        raise MaskError(f"{name!r} defines entities, which no file of CVAT does; export it from CVAT again")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (without entities there is nothing to expand)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise MaskError(f"{name!r} is damaged XML; export it from CVAT again") from error
    if root.tag != "annotations":
        raise MaskError(
            f"{name!r} is no CVAT file: it begins with <{root.tag[:30]}>, expected <annotations>; export it "
            "from CVAT as “CVAT for images 1.1”"
        )
    return root


def _frames(images: list[ElementTree.Element], frames: int, name: str) -> list[int]:
    """The frame of each image: the number in its name, or else the number that CVAT gave it."""
    try:
        return frames_of([image.get("name", "") for image in images], frames, name)
    except MaskError:
        numbers = [_whole(image, "id", name) for image in images]
        if len(set(numbers)) < len(numbers) or not all(0 <= number < frames for number in numbers):
            raise
        return numbers


def _whole(element: ElementTree.Element, key: str, name: str, default: str = "") -> int:
    text = element.get(key, default)
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise MaskError(f"{name!r} has a <{element.tag}> whose {key} is {text[:20]!r}; export it again")
    return int(text)


def _mask(shape: ElementTree.Element, size: tuple[int, int], name: str) -> np.ndarray:
    if shape.tag == "polygon":
        return enclosed([point.split(",") for point in shape.get("points", "").split(";")], size, name)
    left, top, width, height = (_whole(shape, key, name) for key in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise MaskError(f"{name!r} has a mask outside the picture of {size[1]}x{size[0]}; export it again")
    try:
        runs = [int(run) for run in shape.get("rle", "").split(",")]
    except ValueError as error:
        raise MaskError(f"{name!r} has a mask whose rle is no list of numbers; export it again") from error
    found = np.zeros(size, bool)
    inside = pixels_of(runs, width * height, name).reshape(height, width)
    found[top : top + height, left : left + width] = inside
    return found
