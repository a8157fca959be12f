"""Runs of one clip side by side in a film: each run's masks, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stm_core.masks.difference import RUN_COLOURS, difference
from stm_core.masks.overlay import overlay
from stm_core.media.kinds import KINDS
from stm_core.media.video import VideoInfo, VideoLimits, read_video
from stm_core.media.write import VideoWriter

WIDEST = 1280  # pixels of the film
LINE = 20  # pixels of a name's line
BACK, INK = (24, 26, 30), (240, 240, 240)

Masks = Mapping[int, np.ndarray]


def write_film(
    path: Path,
    info: VideoInfo,
    runs: Mapping[str, Masks],
    limits: VideoLimits,
    finished: Callable[[Path], None] | None = None,
) -> None:
    """Write the film: a tile for each run by name, and one that shows where their masks differ.

    finished: as in `VideoWriter`.  Raises VideoError.
    """
    width, height = film_size(info.width, info.height, len(runs) + 1)
    with (
        read_video(info.path, limits=limits) as reader,
        VideoWriter(path, width, height, source=info.path, finished=finished) as writer,
    ):
        for index, image in enumerate(reader):
            masks = {name: of[index] for name, of in runs.items() if index in of}
            writer.write(side_by_side(image, masks, list(runs)), reader.times[-1])


def film_size(width: int, height: int, tiles: int) -> tuple[int, int]:
    """Width and height of a film with so many tiles of frames of width x height."""
    across, rows, (wide, high) = _grid(width, height, tiles)
    return across * wide, rows * (high + LINE)


def _grid(width: int, height: int, tiles: int) -> tuple[int, int, tuple[int, int]]:
    """Tiles in a row, rows, and the (width, height) of a tile, all even."""
    across = 2 if tiles <= 4 else 3
    rows = -(-tiles // across)
    wide = min(width, WIDEST // across) // 2 * 2 or 2
    tallest = (KINDS["mp4"].longest // rows - LINE) // 2 * 2  # a frame that is taller is squeezed
    return across, rows, (wide, min(round(height * wide / width / 2) * 2 or 2, tallest))


def side_by_side(image: np.ndarray, masks: Mapping[str, np.ndarray], names: list[str]) -> np.ndarray:
    """One picture of the film, uint8 (H, W, 3).

    image: uint8 (h, w, 3).
    masks: of the runs that have one here, uint8 (h, w).
    names: of all runs, in order.
    """
    across, _, (wide, high) = _grid(image.shape[1], image.shape[0], len(names) + 1)
    width, height = film_size(image.shape[1], image.shape[0], len(names) + 1)
    canvas = Image.new("RGB", (width, height), BACK)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    tiles = [overlay(image, masks[name]) if name in masks else image for name in names]
    everywhere = len(masks) == len(names)
    tiles.append(difference(image, [masks[name] for name in names]) if everywhere else image)
    for n, (tile, name) in enumerate(zip(tiles, [*names, "where they differ"], strict=True)):
        row, column = divmod(n, across)
        left, top = column * wide, row * (high + LINE)
        colour = tuple(map(int, RUN_COLOURS[n])) if n < len(names) else INK
        draw.text((left + 4, top + 2), name, colour, font)
        canvas.paste(
            Image.fromarray(tile).resize((wide, high), Image.Resampling.BILINEAR), (left, top + LINE)
        )
    return np.asarray(canvas)
