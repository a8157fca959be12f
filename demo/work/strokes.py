"""Brush strokes: lines that the browser sends as points, painted here into labels with hard edges."""

import numpy as np
from PIL import Image, ImageDraw

from stm_core.errors import PromptError

MOST_POINTS = 4000
MOST_RADIUS = 2000.0


def paint(labels: np.ndarray, data: dict, number: int) -> np.ndarray:
    """Labels uint8 (H, W) with one stroke of object `number` added or erased.

    data: points [[x, y], ...] and radius, in pixels of the clip; erase: remove this object only.  What lies
    outside the picture is cut off.
    Raises PromptError when data is not a stroke.
    """
    points, radius = _stroke(data)
    height, width = labels.shape
    touched = Image.new("1", (width, height))
    draw = ImageDraw.Draw(touched)
    if len(points) > 1:
        draw.line([tuple(p) for p in points], fill=1, width=max(round(2 * radius), 1))
    for x, y in points:  # round joints and ends
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    area = np.asarray(touched)
    if data.get("erase"):
        return np.where(area & (labels == number), 0, labels).astype(np.uint8)
    return np.where(area, number, labels).astype(np.uint8)


def _stroke(data: dict) -> tuple[np.ndarray, float]:
    try:
        points = np.asarray(data["points"], dtype=float)
        radius = float(data["radius"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PromptError("the brush stroke arrived incomplete; paint it again") from error
    if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= MOST_POINTS:
        raise PromptError(f"a brush stroke has 1 to {MOST_POINTS} points; paint it in shorter strokes")
    if not (np.isfinite(points).all() and np.abs(points).max() < 1e6 and 0 < radius <= MOST_RADIUS):
        raise PromptError("the brush stroke lies far outside the picture; paint it again")
    return points, radius
