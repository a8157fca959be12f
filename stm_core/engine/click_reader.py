"""A network's answer to clicks on one frame: the whole frame is read coarsely, for small objects and then for
large ones, and a piece around each object at a finer scale, as it is and mirrored.

Legend: n objects, P clicks of each at most (x, y in pixels of the frame and a label; -1 is padding); H' W'
the frame's processed size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.click_parts import parts_at_clicks
from stm_core.engine.closer import CloseUp, Piece, piece_around, pixels_of, window_of
from stm_core.engine.geometry import pad, padding, processed_size, resized, to_network, unpad
from stm_core.memory import readout
from stm_core.networks.compact import click_maps
from stm_core.networks.interface import Network, QueryFeatures
from stm_core.networks.weights import Model

SMALL = 0.02  # a mask that covers at most this share of the frame is of a small object


class ClickReader:
    """Answers clicks on one frame, uint8 (H, W, 3).

    size: short side at which it is processed.
    side: most pixels of the short side when the whole frame is read; None: the network's `small_side`, and
        its `click_side` where nothing small is found.
    """

    def __init__(self, model: Model, image: np.ndarray, size: int, side: int | None = None):
        self.network, self.image, self.device = model.network, image, model.device
        sides = (self.network.small_side, self.network.click_side or size) if side is None else (side,)
        self.sides = list(dict.fromkeys(min(size, one) for one in sides if one is not None))
        self.processed = processed_size(*image.shape[:2], size)
        self.scale = image.shape[0] / self.processed[0], image.shape[1] / self.processed[1]
        self._whole: dict[int, tuple[Tensor, QueryFeatures]] = {}  # by its short side
        self._close: list[CloseUp] = []  # as it is, and mirrored

    def answer(self, points: Tensor, logits: Tensor, *, everywhere: bool = False) -> Tensor:
        """Logits (n, H', W') after clicks (n, P, 3), from those before.

        Objects without a mask are searched in the whole frame, the others around their mask; each as if it
        were the only one, because a first mask often covers a look-alike that is another object.
        everywhere: what is not connected with a click belongs to a mask too.
        """
        logits, close = logits.clone(), self.network.close_side is not None
        found = (logits > 0).flatten(1).any(1).tolist()
        for n in range(len(points)):
            if not (close and found[n]):
                whole, asked = self._sought(n, points, logits)
                logits[n] = whole if everywhere else asked
            if close:
                after = self._closer(n, points[n][points[n, :, 2] >= 0], logits)
                logits[n] = after if everywhere else self._asked(n, points, logits, after)
        return logits

    def _sought(self, n: int, points: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (H', W') of object n, looked for in the whole frame: all of it, and what was asked for."""
        found: list[tuple[Tensor, Tensor]] = []
        for side in self.sides:
            whole = self._coarse(points[n : n + 1], logits[n : n + 1].sigmoid(), side)[0]
            found.append((whole, self._asked(n, points, logits, whole)))
            if 0 < (found[-1][1] > 0).float().mean() <= SMALL:
                break
        return next((pair for pair in reversed(found) if (pair[1] > 0).any()), found[-1])

    def _asked(self, n: int, points: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Logits (H', W') `after` a read for object n, without the parts that were not asked for."""
        return parts_at_clicks(before[n : n + 1], after[None], points[n : n + 1], self.scale)[0]

    def _coarse(self, points: Tensor, masks: Tensor, side: int) -> Tensor:
        """Logits (n, H', W') of a read of the whole frame, with that short side."""
        shape = self.image.shape[:2]
        if side not in self._whole:
            frame = to_network(self.image, side, self.device)
            self._whole[side] = frame, self.network.encode_query(frame)
        frame, query = self._whole[side]
        seen = processed_size(*shape, side)
        maps = click_maps(placed(points, shape, seen), *frame.shape[-2:])
        masks = pad(resized(masks, *seen))
        for _ in range(self.network.click_passes):
            logits = read_itself(self.network, frame, query, maps, masks)
            masks = pad(unpad(logits, *seen).sigmoid())
        return resized(unpad(logits, *seen), *self.processed)

    def _closer(self, n: int, points: Tensor, logits: Tensor) -> Tensor:
        """Logits (H', W') of object n after a read of the piece around it; points (P, 3) without padding."""
        masks = logits.sigmoid()
        places = placed(points, self.image.shape[:2], self.processed, padded=False)
        upright, mirrored = self._close_ups(piece_around(masks[n], places[:, 0], places[:, 1]))
        seen = upright.masks(masks[n : n + 1])
        maps = click_maps(upright.points(points)[None], *upright.frame.shape[-2:])
        for _ in range(self.network.click_passes):
            read = (self._read(upright, maps, seen) + self._read(mirrored, maps, seen)) / 2
            seen = read.sigmoid()
        return upright.pasted(read[0], logits[n])

    def _read(self, close: CloseUp, maps: Tensor, seen: Tensor) -> Tensor:
        """Logits (1, h, w) of a piece, from its click maps (1, 2, h, w) and the mask before (1, h, w)."""
        maps, seen = close.turned(maps), close.turned(seen)
        return close.turned(read_itself(self.network, close.frame, close.query, maps, seen))

    def _close_ups(self, piece: Piece) -> list[CloseUp]:
        """What the network sees of a piece; it is kept while the piece stays the same."""
        if not self._close or self._close[0].piece != piece:
            window = window_of(piece, self.processed, self.image.shape[:2])
            frame = pixels_of(self.image, window, self.network.close_side, self.device)
            both = frame, frame.flip(-1).contiguous(memory_format=torch.channels_last)
            self._close = [
                CloseUp(piece, window, pixels, self.network.encode_query(pixels), mirrored=n == 1)
                for n, pixels in enumerate(both)
            ]
        return self._close


def read_itself(network: Network, frame: Tensor, query: QueryFeatures, maps: Tensor, masks: Tensor) -> Tensor:
    """Logits (n, H, W) of a frame (1, 3, H, W) from its own memory, with click maps (n, 2, H, W) and the
    masks before (n, H, W).
    """
    key, value = network.encode_memory(frame, masks, query, maps)
    values = readout.rows(value).transpose(0, 1)[None]  # (1, P, n, Cv)
    result = readout.read(
        [readout.rows(key)],
        [values],
        readout.rows(query.key),
        scale=network.scale,
        bounded=network.bounded,
    )
    read = readout.maps(result.value[0].contiguous(), *query.key.shape[-2:])
    return network.decode(read, query).float()


def placed(points: Tensor, own: tuple[int, int], seen: tuple[int, int], *, padded: bool = True) -> Tensor:
    """Clicks (..., 3) on a frame of size `own` (H, W) as clicks on it at size `seen`, and padded."""
    left, _, top, _ = padding(*seen) if padded else (0, 0, 0, 0)
    x = (points[..., 0] + 0.5) * (seen[1] / own[1]) - 0.5 + left
    y = (points[..., 1] + 0.5) * (seen[0] / own[0]) - 0.5 + top
    return torch.stack([x, y, points[..., 2]], -1)
