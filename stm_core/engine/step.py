"""One step: a frame goes in, its masks come out, and the frame joins the memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.decoding import decoded
from stm_core.engine.encoding import encoded, windows_of
from stm_core.engine.geometry import (
    Area,
    check_image,
    check_size,
    place,
    processed_side,
    processed_size,
    spread_over_pixels,
)
from stm_core.engine.given import Giver
from stm_core.engine.prompts import Prompt, Reference, as_given, check_inside, listed
from stm_core.engine.result import FrameResult, Held, MemoryReport, confidence_of, labels_at, pixels_of
from stm_core.engine.seen import Seen
from stm_core.engine.whereabouts import Whereabouts, cells_of
from stm_core.errors import PromptError, StmError, VideoError
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import PUBLISHED, TUNED, MemoryConfig
from stm_core.memory.window import Group, Window, cells_within, together
from stm_core.networks.interface import LOGIT_LIMIT, STRIDE, aggregate, one_hot, strongest
from stm_core.networks.weights import Model, check_model


class Propagator:
    """Follows objects from frame to frame: give it the frames in order, the first one prompted.

    memory: what is remembered, and how far it is trusted.
    size: most pixels of the short side at which frames are processed; None: as they are, and small ones
        enlarged (`processed_side`).
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
            bounded=model.network.bounded,
            trust=self._trust,
        )
        self.objects: tuple[int, ...] = ()
        self._shape: tuple[int, int] | None = None
        self._whereabouts = Whereabouts(self._trust.reach)

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
                f"no object is known at frame {index}; give a mask or a click on it, or on an earlier frame"
            )
        seen, logits = self._found(image, bool(prompts))
        logits[[n for n, i in enumerate(self.objects[: len(logits)]) if i in absent]] = -LOGIT_LIMIT
        refused = self._whereabouts.refused
        masks = aggregate(logits)[1:]
        for one in prompts:
            logits, masks = self._prompted(one, image, logits, masks)
        channels, best = strongest(masks)
        shown = one_hot(channels, len(masks))
        pixels, sums, cells = self._counted(shown, best)
        labels = labels_at(self._shape, masks, channels, self.objects, seen.area, self._processed)
        read = Held.of(self.bank, self.objects)
        kept = shown if self._trust.firm and not prompts else masks
        spoken = {i for one in prompts for i in one.objects} - set(absent)
        self._remember(index, seen, kept, pixels, spoken)
        self._whereabouts.update(cells, pixels, self._processed, seen.corner)
        return FrameResult(
            index=index,
            labels=as_given(labels, prompts),
            objects=self.objects,
            confidence=confidence_of(pixels, sums, self.objects),
            memory=MemoryReport.of(self.bank, index, read),
            seconds=time.perf_counter() - begin,
            prompted=bool(prompts),
            _masks=masks.cpu(),
            _area=seen.area,
            _processed=self._processed,
            refused=dict(zip(self.objects, refused, strict=False)),
        )

    @staticmethod
    def _counted(shown: Tensor, best: Tensor) -> tuple[list[float], list[float], np.ndarray]:
        """What `pixels_of` and `cells_of` say of hard masks (N, a, b), in one transfer from the device."""
        cells = cells_of(shown)
        found = torch.cat([pixels_of(shown, best).flatten(), cells.flatten()]).cpu().numpy()
        pixels, sums = found[: 2 * len(shown)].reshape(2, -1).tolist()
        return pixels, sums, found[2 * len(shown) :].reshape(cells.shape) > 0

    @torch.inference_mode()
    def remember(self, reference: Reference) -> None:
        """Pin another frame of the clip whose mask is known.  Raises MaskError, LimitError, VideoError."""
        prompt = Prompt.from_mask(reference.labels)
        with self._unless_refused():
            self._check(reference.index, reference.frame)
            seen = self._seen(reference.frame, whole=True)
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
            query = self._seen(image, whole=True).query
            column, row = (int(side) // stride for side in place(x, y, *self._shape, self._side))
            found = sorted(self.bank.look(query.key, max(row, 0), max(column, 0)).items())
        cells = torch.stack([attention for _, attention in found])  # (S, h, w)
        pixels = spread_over_pixels(cells, stride, *self._shape, self._side)
        return {t: attention.numpy() for (t, _), attention in zip(found, pixels.cpu(), strict=True)}

    def close(self) -> None:
        """Free the memory bank."""
        self.bank.clear()
        self.objects, self._shape = (), None
        self._whereabouts.forget()

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        """After an error inside, nothing has changed: the next frame goes on as if this one had not come."""
        before = self.objects, self._shape
        try:
            yield
        except StmError:
            self.objects, self._shape = before
            self.bank.discount()
            raise

    @property
    def _side(self) -> int:
        return processed_side(self.model.network, *self._shape, self.size)

    @property
    def _processed(self) -> tuple[int, int]:
        return processed_size(*self._shape, self._side)

    def _check(self, index: int | str, image: np.ndarray) -> None:
        check_image(image)
        self._shape = self._shape or image.shape[:2]
        if image.shape[:2] != self._shape:
            (height, width), (old_height, old_width) = image.shape[:2], self._shape
            raise VideoError(
                f"frame {index} is {width}x{height}, the frames before it {old_width}x{old_height}; "
                "scale the frames of a clip to one size"
            )

    def _seen(self, image: np.ndarray, *, whole: bool) -> Seen:
        """A frame as the network sees it: whole, or only near the objects."""
        height, width = self._processed
        cells = -(-height // STRIDE), -(-width // STRIDE)
        window = Window.whole(cells) if whole else self._whereabouts.window(len(self.bank.known), cells)
        return Seen.of(self.model, image, self._side, window)

    def _found(self, image: np.ndarray, prompted: bool) -> tuple[Seen, Tensor]:
        """What is seen of a frame, and the logits of the objects in it.

        It looks first where objects are expected, and then within their whole reach if one went further.
        """
        seen = self._seen(image, whole=prompted)
        logits = self._predict(seen)
        if self._whereabouts.beyond and not prompted:
            self._whereabouts.widen()
            self.bank.discount()
            seen = self._seen(image, whole=False)
            logits = self._predict(seen)
        return seen, logits

    def _predict(self, seen: Seen) -> Tensor:
        """Logits (N, a, b) from the memory, with "not here" for objects that no stored frame knows."""
        network, known = self.model.network, self.bank.known
        if not known:
            return seen.frame.new_zeros(0, *self._processed)
        window = self._whereabouts.window(len(known), seen.window.size)
        query = seen.within(window)
        groups = together(dict(enumerate(self._whereabouts.windows(len(known), window))))
        read = network.read(self.bank, query, self._read_at(groups))
        logits = decoded(network, read, query, groups)
        area = Area.of(window, *self._processed)
        logits = area.moved(logits, seen.area, -LOGIT_LIMIT)
        logits = self._whereabouts.bound(logits, seen.corner)
        if not all(known):
            logits[[n for n, here in enumerate(known) if not here]] = -LOGIT_LIMIT
        return logits

    def _read_at(self, groups: Sequence[Group]) -> Tensor | None:
        """Which positions are read: those that are decoded.  None: all; on a GPU that is faster."""
        return cells_within(groups) if self.model.device.type == "cpu" else None

    def _prompted(
        self, prompt: Prompt, image: np.ndarray, logits: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits and masks (N, H', W') with a prompt put in, which may name new objects."""
        self.objects += tuple(i for i in prompt.objects if i not in self.objects)
        return Giver(self.model, image, self._side).put(prompt, self.objects, logits, masks)

    def _remember(
        self,
        index: int,
        seen: Seen,
        masks: Tensor,
        pixels: Sequence[float],
        spoken: set[int],
    ) -> None:
        """Write the frame to memory.

        An object without a pixel is left out unless it was prompted. A frame that does not show it says
        nothing about its appearance, and would make it vanish for good.
        """
        present = [count > 0 or i in spoken for count, i in zip(pixels, self.objects, strict=True)]
        if not any(present) or not self.bank.wants(index, bool(spoken)):
            return
        network = self.model.network
        masks = seen.area.moved(masks, Area.of(seen.window, *self._processed))
        apart = network.local and self.bank.reads_apart(seen.query.key)
        windows = windows_of(masks) if apart else []
        key, value = encoded(network, seen.frame, masks, seen.query, windows)
        self.bank.write(index, key, value, pinned=bool(spoken), present=present, window=seen.window)
