"""Sequences of PNGs: masks as ids, masks as black and white, and the clip cut out with alpha."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stm_core.export.order import Format, Order, png
from stm_core.export.sinks import Sink
from stm_core.masks.mask_files import encode_mask


def binary(labels: np.ndarray, number: int) -> bytes:
    """The mask of one object as PNG with 0 and 255."""
    return png(np.where(labels == number, 255, 0).astype(np.uint8))


def _palette_names(order: Order) -> Iterator[str]:
    yield from (f"masks/{order.stem(frame=index)}.png" for index in order.result.frames)


def _write_palette(order: Order, sink: Sink) -> Iterator[int]:
    for done, shot in enumerate(order.result.shots(pictures=False), 1):
        sink.add(f"masks/{order.stem(frame=shot.index)}.png", encode_mask(shot.labels))
        yield done


def _binary_name(order: Order, number: int, index: int) -> str:
    return f"object_{number}/{order.stem(number, index)}.png"


def _binary_names(order: Order) -> Iterator[str]:
    for index in order.result.frames:
        yield from (_binary_name(order, number, index) for number in order.result.objects)


def _write_binary(order: Order, sink: Sink) -> Iterator[int]:
    for done, shot in enumerate(order.result.shots(pictures=False), 1):
        for number in order.result.objects:
            sink.add(_binary_name(order, number, shot.index), binary(shot.labels, number))
        yield done


def _rgba_names(order: Order) -> Iterator[str]:
    yield from (f"{order.stem(frame=index)}.png" for index in order.result.frames)


def _write_rgba(order: Order, sink: Sink) -> Iterator[int]:
    for done, shot in enumerate(order.shots(), 1):
        assert shot.image is not None
        sink.add(f"{order.stem(frame=shot.index)}.png", png(cut_out(shot.image, shot.labels)))
        yield done


def cut_out(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 4): the picture, opaque where an object is; its colours stay everywhere."""
    return np.dstack([image, np.where(labels > 0, 255, 0).astype(np.uint8)])


PALETTE = Format(
    "palette-png",
    "Masks as palette PNGs, value = object, in the DAVIS colours",
    *(".png", "{frame}", ("frame",), ""),
    _palette_names,
    _write_palette,
)
BINARY = Format(
    "binary-png",
    "Masks as black and white PNGs, a folder per object",
    *(".png", "{frame}", ("frame",), ""),
    _binary_names,
    _write_binary,
)
RGBA = Format(
    "rgba-png",
    "The frames as PNGs with alpha: what is no object is transparent",
    *(".png", "{clip}_{frame}", ("frame",), "needed"),
    _rgba_names,
    _write_rgba,
)
