"""What a diffusion inpainting pipeline takes: frames, masks of what is to be painted anew, and prompts.

A mask is 255 on every object and `margin` pixels around it, so that no edge of the object stays, and then
fades to 0 over `feather` pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from stm_core.export.order import Format, Order, png
from stm_core.export.sinks import Sink

META = "meta.json"


def _image(order: Order, index: int) -> str:
    return f"frames/{order.stem(frame=index)}.png"


def _mask(order: Order, index: int) -> str:
    return f"masks/{order.stem(frame=index)}.png"


def _names(order: Order) -> Iterator[str]:
    for index in order.result.frames:
        yield from (_image(order, index), _mask(order, index))
    yield META


def _write(order: Order, sink: Sink) -> Iterator[int]:
    rows, options = [], order.options
    for done, shot in enumerate(order.shots(), 1):
        assert shot.image is not None
        image, mask = _image(order, shot.index), _mask(order, shot.index)
        sink.add(image, png(shot.image))
        sink.add(mask, png(soft(shot.labels > 0, options.margin, options.feather)))
        rows.append(
            {
                "frame": shot.index,
                "seconds": shot.seconds,
                "image": image,
                "mask": mask,
                "prompt": options.prompt,
            }
        )
        yield done
    content = {
        "clip": order.result.name,
        "width": order.result.width,
        "height": order.result.height,
        "size_for_the_model": [-(-side // 8) * 8 for side in (order.result.width, order.result.height)],
        "margin": options.margin,
        "feather": options.feather,
        "objects": [{"id": number, "name": order.label(number)} for number in order.result.objects],
        "frames": rows,
    }
    sink.add(META, json.dumps(content, indent=1).encode())


def soft(mask: np.ndarray, margin: int, feather: int) -> np.ndarray:
    """uint8 (H, W): 255 on the mask and `margin` pixels around, fading to 0 over `feather` more."""
    found = mask.astype(np.uint8) * 255
    grown = mask
    for step in range(1, margin + feather + 1) if mask.any() else ():
        wider = _wider(grown, diagonal=step % 2 == 0)
        strength = 255 if step <= margin else round(255 * (1 - (step - margin) / (feather + 1)))
        found[wider & ~grown] = strength
        grown = wider
    return found


def _wider(mask: np.ndarray, diagonal: bool) -> np.ndarray:
    """The mask with its four neighbours, or all eight: in turn that is nearly round."""
    up, across = mask.copy(), mask.copy()
    up[1:] |= mask[:-1]
    up[:-1] |= mask[1:]
    source = up if diagonal else mask
    across[:, 1:] |= source[:, :-1]
    across[:, :-1] |= source[:, 1:]
    return up | across


FORMAT = Format(
    "inpainting",
    "Frames, grown and feathered masks, and prompts, for diffusion inpainting",
    *(".png", "{clip}_{frame}", ("frame",), "needed"),
    _names,
    _write,
)
