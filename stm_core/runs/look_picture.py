"""A look as one picture: the pixel on its frame, below it the stored frames with their shares and matches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stm_core.engine.look import Look, Seen
from stm_core.masks.heat import heat
from stm_core.masks.overlay import overlay
from stm_core.masks.palette import OVERLAY_COLOURS
from stm_core.memory.policy import WHY

ACROSS, TILE, GAP, LINE = 4, 240, 8, 18  # tiles in a row; pixels of a tile's width, a gap, a line's height
BACK, INK, FAINT, BAR = (24, 26, 30), (240, 240, 240), (150, 155, 165), (45, 212, 191)
MATCH = (90, 230, 255)
LEAST = 5e-4  # share of the attention below which a frame counts as not looked at


def look_tile(look: Look, seen: Seen, image: np.ndarray, width: int = TILE) -> np.ndarray:
    """The heat map of a stored frame over its picture, uint8 (h, width, 3); one scale for all frames."""
    own = image.shape
    most = max(float(one.weights.max()) for one in look.stored)
    small = np.asarray(_scaled(image, width, max(1, round(width * own[0] / own[1]))))
    rows, columns = (np.arange(new) * old // new for new, old in zip(small.shape[:2], own[:2], strict=True))
    return heat(small, seen.weights[rows][:, columns], most)


def look_words(look: Look, names: Mapping[int, str] | None = None, first: int = 0) -> str:
    """The look as a sentence, which is shown below the picture.

    names: of the objects, by id.
    first: number of the clip's first frame: 0, or 1 on the page.
    """
    (x, y), names = look.at, names or {}
    decided = "not known" if look.object is None else _name(look.object, names)
    votes = ", ".join(f"{vote:.0%} {_name(n, names)}" for n, vote in look.votes.items())
    place = f"Frame {look.frame + first}, pixel {x},{y}"
    return f"{place}. Memory says {votes}; final answer: {decided}."


def seen_words(seen: Seen, first: int = 0) -> str:
    """The words for one stored frame: why it was in memory, and its share.  first: as in `look_words`."""
    if not looked_at(seen):
        return f"frame {seen.t + first}, {WHY[seen.kind]}: not looked at"
    return f"frame {seen.t + first}, {WHY[seen.kind]}: {seen.share:.1%}"


def looked_at(seen: Seen) -> bool:
    """Whether a stored frame counted at all."""
    return seen.share >= LEAST


def look_picture(look: Look, images: Mapping[int, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """The whole look, uint8 (H, W, 3).

    images: by index, the frame itself and the stored ones.
    labels: uint8 (H, W) of the frame.
    """
    height, width = images[look.frame].shape[:2]
    high = max(1, round(TILE * height / width))
    rows = -(-len(look.stored) // ACROSS)
    across = ACROSS * (TILE + GAP) + GAP
    top = GAP + 2 * high + GAP
    canvas = Image.new("RGB", (across, top + 2 * LINE + rows * (high + 2 * LINE + GAP)), BACK)
    draw = ImageDraw.Draw(canvas)
    canvas.paste(_scaled(overlay(images[look.frame], labels), 2 * TILE, 2 * high), (GAP, GAP))
    here = _on(look.at, (GAP, GAP), 2 * TILE / width)
    draw.text((GAP, top), look_words(look), INK, _font())
    if look.gone:
        gone = ", ".join(f"frame {t} at frame {at}" for t, at in look.gone.items())
        draw.text((GAP, top + LINE), f"gone from memory: {gone}", FAINT, _font())
    corners = {}
    for n, seen in enumerate(look.stored):
        row, column = divmod(n, ACROSS)
        left, upper = GAP + column * (TILE + GAP), top + 2 * LINE + row * (high + 2 * LINE + GAP) + GAP
        corners[seen.t] = left, upper
        canvas.paste(Image.fromarray(look_tile(look, seen, images[seen.t])), (left, upper))
        below = upper + high + 3
        draw.rectangle((left, below, left + round(TILE * seen.share), below + 5), BAR)
        draw.text((left, below + 8), seen_words(seen), INK if looked_at(seen) else FAINT, _font())
    for match in look.matches:
        there = _on((match.x, match.y), corners[match.t], TILE / width)
        draw.line((*here, *there), MATCH, 1)
        draw.ellipse([there[0] - 3, there[1] - 3, there[0] + 3, there[1] + 3], None, MATCH)
    draw.ellipse([here[0] - 5, here[1] - 5, here[0] + 5, here[1] + 5], _colour(look.object), INK, 2)
    return np.asarray(canvas)


def _name(number: int, names: Mapping[int, str]) -> str:
    return names.get(number, f"object {number}") if number else "background"


def _colour(number: int | None) -> tuple[int, ...]:
    return tuple(int(part) for part in OVERLAY_COLOURS[number or 0])


def _on(at: tuple[int, int], corner: tuple[int, int], zoom: float) -> tuple[float, float]:
    """Where a pixel of a frame stands on the canvas."""
    return corner[0] + (at[0] + 0.5) * zoom, corner[1] + (at[1] + 0.5) * zoom


def _scaled(image: np.ndarray, width: int, height: int) -> Image.Image:
    return Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)
