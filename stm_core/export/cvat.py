"""CVAT for images 1.1: one XML file; masks as runs inside their box, row by row, which keep holes.

Source: https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from stm_core.export.order import Format, Order, box, jpeg, masks_of
from stm_core.export.sinks import Sink
from stm_core.masks.rle import counts_of

PICTURES, ANNOTATIONS = "images", "annotations.xml"


def _names(order: Order) -> Iterator[str]:
    yield ANNOTATIONS
    yield from order.pictures(PICTURES)


def _write(order: Order, sink: Sink) -> Iterator[int]:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    _about(root, order)
    width, height = str(order.result.width), str(order.result.height)
    for done, shot in enumerate(order.shots(), 1):
        name = order.picture(PICTURES, shot.index)
        about = {"id": str(shot.index), "name": name.removeprefix(f"{PICTURES}/")}
        image = ElementTree.SubElement(root, "image", {**about, "width": width, "height": height})
        if shot.image is not None:
            sink.add(name, jpeg(shot.image))
        for number, mask in masks_of(shot, order.result.objects):
            ElementTree.SubElement(image, "mask", _mask(order.label(number), mask))
        yield done
    ElementTree.indent(root, " ")
    sink.add(ANNOTATIONS, ElementTree.tostring(root, "utf-8", xml_declaration=True))


def _about(root: ElementTree.Element, order: Order) -> None:
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(task, "name").text = order.result.name
    ElementTree.SubElement(task, "size").text = str(len(order.result.frames))
    labels = ElementTree.SubElement(task, "labels")
    for number in order.result.objects:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = order.label(number)
        ElementTree.SubElement(label, "type").text = "mask"
        ElementTree.SubElement(label, "attributes")


def _mask(label: str, mask: np.ndarray) -> dict[str, str]:
    left, top, width, height = box(mask)
    inside = mask[top : top + height, left : left + width]
    return {
        "label": label,
        "source": "automatic",
        "occluded": "0",
        "rle": ", ".join(map(str, counts_of(inside.ravel()))),
        "left": str(left),
        "top": str(top),
        "width": str(width),
        "height": str(height),
        "z_order": "0",
    }


FORMAT = Format(
    "cvat",
    "CVAT for images 1.1: one XML file with a mask per object and frame, and the frames",
    *(".jpg", "{clip}_{frame}", ("frame",), "beside"),
    _names,
    _write,
)
