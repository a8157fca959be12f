"""One step: a frame goes in, its masks come out, and the frame joins the memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.clicks import click_logits
from stm_core.engine.geometry import (
    check_image,
    check_size,
    masks_of,
    pad,
    place,
    processed_size,
    spread_over_pixels,
    to_network,
    unpad,
)
from stm_core.engine.prompts import Prompt, Reference, as_given, check_inside, listed
from stm_core.engine.result import FrameResult, Held, MemoryReport, labels_at, pixels_of
from stm_core.engine.whereabouts import Whereabouts, Window
from stm_core.errors import MaskError, PromptError, StmError, VideoError
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import PUBLISHED, TUNED, MemoryConfig
from stm_core.networks.interface import LOGIT_LIMIT, STRIDE, QueryFeatures, aggregate, one_hot, strongest
from stm_core.networks.weights import Model, check_model

OBJECTS_AT_ONCE = 8  # decoded together, which bounds the memory of a frame with many objects


@dataclass(frozen=True)
class _Seen:
    """The part of a frame that the network sees.

    frame: (1, 3, H, W), the pixels in the window.
    query: their features.
    """

    frame: Tensor
    query: QueryFeatures
    window: Window


class Propagator:
    """Follows objects from frame to frame: give it the frames in order, the first one prompted.

    memory: what is remembered, and how far it is trusted.
    size: short side in pixels at which frames are processed; None: as they are.
    It holds a memory bank; `close` frees it.
    """

    def __init__(self, model: Model, *, memory: MemoryConfig | None = None, size: int | None = None):
        check_model(model)
        check_size(size)
        memory = MemoryConfig() if memory is None else memory
        self._trust = memory.trust or (TUNED if model.tuned else PUBLISHED)
        self.model, self.size = model, size
        self.bank = MemoryBank(
            memory,
            scale=model.network.scale,
            shared_keys=model.network.shared_keys,
            margin=model.network.margin,
            trust=self._trust,
        )
        self.objects: tuple[int, ...] = ()
        self._shape: tuple[int, int] | None = None
        self._whereabouts = Whereabouts(self._trust.reach)
        self._windows: dict[int, Window] = {}  # of the frames in memory

    @torch.inference_mode()
    def step(
        self,
        index: int,
        image: np.ndarray,
        prompt: Prompt | Sequence[Prompt] = (),
        absent: Collection[int] = (),
    ) -> FrameResult:
        """The masks of the next frame, which then joins the memory.

        index: of the frame; each frame has another one.
        image: uint8 (H, W, 3) RGB; all frames have one size.
        prompt: what is given for this frame, if anything; its `frame` is ignored.
        absent: objects that are not in this frame: they get no pixel, and memory stores nothing of them.
        Raises PromptError, MaskError, LimitError, VideoError.
        """
        with self._unless_refused():
            return self._step(index, image, listed(prompt), absent)

    def _step(
        self, index: int, image: np.ndarray, prompts: Sequence[Prompt], absent: Collection[int]
    ) -> FrameResult:
        begin = time.perf_counter()
        self._check(index, image)
        if not prompts and not self.bank.frames:
            raise PromptError(
                f"nothing is known at frame {index}; give a mask or a click on it, or on one before"
            )
        seen = self._seen(image, None if prompts else index)
        logits = self._predict(seen)
        logits[[n for n, i in enumerate(self.objects[: len(logits)]) if i in absent]] = -LOGIT_LIMIT
        refused = self._whereabouts.refused
        masks = aggregate(logits)[1:]
        for one in prompts:
            logits, masks = self._prompted(one, image, logits, masks)
        usage, read = self.bank.usage, Held.of(self.bank, self.objects, self._windows)
        channels, best = strongest(masks)
        pixels, confidence = pixels_of(channels, best, self.objects)
        labels = as_given(labels_at(self._shape, masks, channels, self.objects), prompts)
        result_masks = masks.cpu()
        kept = one_hot(channels, len(masks)) if self._trust.firm and not prompts else masks
        spoken = {i for one in prompts for i in one.objects} - set(absent)
        self._remember(index, seen, kept, pixels, spoken)
        self._whereabouts.update(masks)
        return FrameResult(
            index=index,
            labels=labels,
            objects=self.objects,
            confidence=confidence,
            memory=MemoryReport.of(self.bank, index, usage, read),
            seconds=time.perf_counter() - begin,
            prompted=bool(prompts),
            _masks=result_masks,
            refused=dict(zip(self.objects, refused, strict=False)),
        )

    @torch.inference_mode()
    def remember(self, reference: Reference) -> None:
        """Pin another frame of the clip whose mask is known.  Raises MaskError, LimitError, VideoError."""
        prompt = Prompt.from_mask(reference.labels)
        with self._unless_refused():
            self._check(reference.index, reference.frame)
            seen = self._seen(reference.frame)
            nothing = seen.frame.new_zeros(0, *self._processed)
            _, masks = self._prompted(prompt, reference.frame, nothing, nothing)
            self._remember(reference.index, seen, masks, [0] * len(self.objects), set(prompt.objects))

    @torch.inference_mode()
    def look(self, image: np.ndarray, x: float, y: float) -> dict[int, np.ndarray]:
        """Where pixel (x, y) of a frame looks in the memory held now: {t: float32 (H, W)}, frames sorted.

        The attention to each stored frame, spread over its pixels. All frames together sum to 1, less what
        falls into the padding.
        image: uint8 (H, W, 3), a frame of the clip.
        Raises PromptError, VideoError.
        """
        stride = self.model.network.stride
        with self._unless_refused():
            self._check("to look from", image)
            check_inside([(x, y)], *self._shape)
            query = self._seen(image).query
            column, row = (int(side) // stride for side in place(x, y, *self._shape, self.size))
            found = sorted(self.bank.look(query.key, max(row, 0), max(column, 0)).items())
        cells = torch.stack([attention for _, attention in found])  # (S, h, w)
        pixels = spread_over_pixels(cells, stride, *self._shape, self.size)
        return {t: attention.numpy() for (t, _), attention in zip(found, pixels.cpu(), strict=True)}

    def close(self) -> None:
        """Free the memory bank."""
        self.bank.clear()
        self.objects, self._shape = (), None
        self._whereabouts.forget()
        self._windows.clear()

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        """What is refused inside changes nothing: the next frame goes on as if it had not been tried."""
        before = self.objects, self._shape
        try:
            yield
        except StmError:
            self.objects, self._shape = before
            raise

    @property
    def _processed(self) -> tuple[int, int]:
        return processed_size(*self._shape, self.size)

    def _check(self, index: int | str, image: np.ndarray) -> None:
        check_image(image)
        self._shape = self._shape or image.shape[:2]
        if image.shape[:2] != self._shape:
            (height, width), (old_height, old_width) = image.shape[:2], self._shape
            raise VideoError(
                f"frame {index} is {width}x{height}, the frames before it {old_width}x{old_height}; "
                "scale the frames of a clip to one size"
            )

    def _seen(self, image: np.ndarray, passing: int | None = None) -> _Seen:
        """A frame as the network sees it.

        passing: index of a frame without a prompt. If memory drops it soon, only the part near the objects is
            seen.
        """
        frame = to_network(image, self.size, self.model.device)
        cells = frame.shape[-2] // STRIDE, frame.shape[-1] // STRIDE
        if passing is None or not self.bank.passes(passing):
            window = Window.whole(cells)
        else:
            window = self._whereabouts.window(len(self.bank.known), cells)
        frame = window.cut(frame)
        return _Seen(frame, self.model.network.encode_query(frame), window)

    def _sought(self, seen: _Seen) -> tuple[Window, QueryFeatures]:
        """The window in which objects may be, and the features of the frame in it."""
        window, query = self._whereabouts.window(len(self.bank.known), seen.window.size), seen.query
        if window == seen.window:
            return window, query
        for_decoder = tuple(window.cut(part) for part in query.for_decoder)
        return window, QueryFeatures(window.cut(query.key), (), for_decoder)

    def _predict(self, seen: _Seen) -> Tensor:
        """Logits (N, H', W') from the memory, with "not here" for objects that no stored frame knows."""
        network, known = self.model.network, self.bank.known
        if not known:
            return seen.frame.new_zeros(0, *self._processed)
        window, query = self._sought(seen)
        read = network.read(self.bank, query)
        parts = [network.decode(part, query) for part in read.split(OBJECTS_AT_ONCE)]
        logits = window.spread(torch.cat(parts).float(), -LOGIT_LIMIT)
        logits = self._whereabouts.bound(unpad(logits, *self._processed))
        if not all(known):
            logits[[n for n, here in enumerate(known) if not here]] = -LOGIT_LIMIT
        return logits

    def _prompted(
        self, prompt: Prompt, image: np.ndarray, logits: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits and masks (N, H', W') with a prompt put in; where it gives a mask, other objects end."""
        old = self.objects
        self.objects += tuple(i for i in prompt.objects if i not in old)
        logits, masks = self._grown(logits, -LOGIT_LIMIT), self._grown(masks, 0)
        if prompt.clicks is not None:
            return self._clicked(prompt, image, logits, masks, old)
        if prompt.labels.shape != self._shape:
            (height, width), (own_height, own_width) = self._shape, prompt.labels.shape
            raise MaskError(
                f"the mask is {own_width}x{own_height}, the frame {width}x{height}; "
                "draw it on a frame of this clip"
            )
        rows = [self.objects.index(i) for i in prompt.objects]
        given = masks_of(prompt.labels, prompt.objects, self.size, logits.device)
        covered = given.sum(0).clamp(max=1)
        masks = masks * (1 - covered)
        masks[rows] = given
        logits = logits.masked_fill(covered > 0.5, -LOGIT_LIMIT)
        logits[rows] = (2 * given - 1) * LOGIT_LIMIT
        return logits, masks

    def _clicked(
        self, prompt: Prompt, image: np.ndarray, logits: Tensor, masks: Tensor, old: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """As `_prompted`, for clicks: they correct the mask of an object that is there, or begin one.

        Background clicks alone do not begin an `old` object that was not found on this frame.
        """
        positive = {click[3] for click in prompt.clicks if click[2] == 1}
        rows = {i: self.objects.index(i) for i in prompt.objects}
        begun = [i for i, row in rows.items() if float(masks[row].max()) > 0.5]
        rows = {i: row for i, row in rows.items() if i in begun or i in positive or i not in old}
        for group, current in ((begun, True), ([i for i in rows if i not in begun], False)):
            if group:
                own = [click for click in prompt.clicks if click[3] in group]
                at = [rows[i] for i in group]
                current_masks = masks[at] if current else None
                logits[at] = click_logits(self.model, image, own, self.size, current_masks)
        return logits, aggregate(logits)[1:]

    def _grown(self, maps: Tensor, fill: float) -> Tensor:
        """maps (n, H', W') with one more for each new object, filled with a constant."""
        return torch.cat([maps, maps.new_full((len(self.objects) - len(maps), *maps.shape[1:]), fill)])

    def _remember(self, index: int, seen: _Seen, masks: Tensor, pixels: list[int], spoken: set[int]) -> None:
        """Write the frame to memory.

        An object without a pixel is left out unless it was prompted. A frame that does not show it says
        nothing about its appearance, and would make it vanish for good.
        """
        present = [count > 0 or i in spoken for count, i in zip(pixels, self.objects, strict=True)]
        if any(present) and self.bank.wants(index, bool(spoken)):
            masks = seen.window.cut(pad(masks))
            parts = self.model.network.encode_memory(seen.frame, masks, seen.query)
            key, value = (seen.window.spread(part, 0) for part in parts)
            self.bank.write(index, key, value, pinned=bool(spoken), present=present)
            windows = {**self._windows, index: seen.window}
            self._windows = {t: windows[t] for t in self.bank.frames}
