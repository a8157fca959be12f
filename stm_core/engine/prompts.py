"""What is given for a frame: a mask, or clicks, and for which objects."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stm_core.errors import LimitError, MaskError, PromptError
from stm_core.masks.palette import MAX_OBJECTS

Click = tuple[float, float, int, int]  # x, y in pixels of the frame; 1 object or 0 background; object id
Absent = Mapping[int, Sequence[tuple[int, int]]]  # object id -> first and last frames without it


@dataclass(frozen=True)
class Prompt:
    """A given mask or clicks on one frame; make it with `from_mask` or `from_clicks`.

    frame: index of the frame.
    objects: ids that it is about, sorted; other objects keep what was predicted for them.
    labels: uint8 (H, W) ids, or None.
    clicks: (x, y, label, object), or None.
    """

    frame: int
    objects: tuple[int, ...]
    labels: np.ndarray | None = None
    clicks: tuple[Click, ...] | None = None

    @classmethod
    def from_mask(cls, labels: np.ndarray, frame: int = 0, objects: Iterable[int] | None = None) -> Prompt:
        """A prompt from a mask.

        labels: (H, W), integer ids from 1 to 254 with 0 as background, or bool for one object.
        objects: ids that it is about, by default those in the mask. An id without a pixel says that this
            object is not in the frame.
        Raises MaskError, LimitError or PromptError.
        """
        labels = checked_labels(labels)
        present = {int(i) for i in np.unique(labels)} - {0}
        spoken = present | _checked_objects(() if objects is None else objects)
        if not spoken:
            raise MaskError("the mask is all background; mark at least one object with an id from 1 to 254")
        if not all(1 <= i <= MAX_OBJECTS for i in spoken):
            raise LimitError(f"object ids are {sorted(spoken)}; use whole numbers from 1 to {MAX_OBJECTS}")
        return cls(_checked_frame(frame), tuple(sorted(spoken)), labels=labels)

    @classmethod
    def from_clicks(cls, clicks: Iterable[Sequence[float]], frame: int = 0) -> Prompt:
        """A prompt from clicks (x, y, label, object).

        x, y: pixels of the frame.
        label: 1 object, 0 background; 1 where it is left out.
        object: id; 1 where it is left out.
        Raises PromptError.
        """
        try:
            clicks = tuple(checked_click(click) for click in clicks)
        except TypeError as error:
            raise PromptError(f"clicks are {clicks!r}, expected a list of x, y, label, object") from error
        if not clicks:
            raise PromptError("no click was given; click at least once on an object")
        return cls(_checked_frame(frame), tuple(sorted({click[3] for click in clicks})), clicks=clicks)


@dataclass(frozen=True)
class Reference:
    """Another frame of the clip whose mask is known.

    index: of the frame.
    frame: uint8 (H, W, 3) RGB.
    labels: uint8 (H, W) ids.
    """

    index: int
    frame: np.ndarray
    labels: np.ndarray


def listed(prompts: Prompt | Iterable[Prompt] | None) -> list[Prompt]:
    """No prompt, one or several as a list.  Raises PromptError when one is something else."""
    if prompts is None or isinstance(prompts, Prompt):
        prompts = [] if prompts is None else [prompts]
    if not isinstance(prompts, Iterable):
        raise PromptError(f"prompts are {prompts!r}; give Prompt.from_mask or Prompt.from_clicks, or several")
    prompts = list(prompts)
    for prompt in prompts:
        if not isinstance(prompt, Prompt):
            raise PromptError(f"a prompt is {prompt!r}; make it with Prompt.from_mask or Prompt.from_clicks")
    return prompts


def checked_labels(labels: np.ndarray) -> np.ndarray:
    """labels as uint8 (H, W).  Raises MaskError when they are not ids from 0 to 254."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or 0 in labels.shape:
        raise MaskError(
            f"mask has shape {labels.shape}, expected (height, width); give one id for each pixel"
        )
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise MaskError(f"mask is {labels.dtype}, expected integer ids; threshold or round it first")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > MAX_OBJECTS:
        raise MaskError(
            f"mask has ids from {low} to {high}, expected 0 to {MAX_OBJECTS}; "
            "read a black and white picture with stm_core.read_mask"
        )
    return labels.astype(np.uint8)


def with_defaults(x: float, y: float, label: float = 1, obj: float = 1) -> tuple[float, float, float, float]:
    """The four numbers of a click; the label and the object may be left out and are then 1."""
    return x, y, label, obj


def checked_click(click: Sequence[float]) -> Click:
    """A click as (x, y, label, object).  Raises PromptError when it is not one."""
    try:
        x, y, label, obj = with_defaults(*click)
        values = float(x), float(y), int(label), int(obj)
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(f"click is {click!r}, expected x, y, label, object; give numbers") from error
    x, y, whole_label, whole_obj = values
    whole = label == whole_label and obj == whole_obj
    allowed = whole_label in (0, 1) and 1 <= whole_obj <= MAX_OBJECTS
    if not (np.isfinite(x) and np.isfinite(y) and whole and allowed):
        raise PromptError(
            f"click is {click!r}; x and y are pixels, label is 1 (object) or 0 (background), "
            f"object counts from 1 to {MAX_OBJECTS}"
        )
    return values


def check_inside(clicks: Iterable[Sequence[float]], height: int, width: int) -> None:
    """Raises PromptError when a click is not on a frame of height x width pixels."""
    for x, y, *_ in clicks:
        if not (0 <= x < width and 0 <= y < height):
            raise PromptError(
                f"click {x:g},{y:g} is outside the frame of {width}x{height} pixels; "
                f"x goes from 0 to {width - 1}, y from 0 to {height - 1}"
            )


def check_begun(prompts: Iterable[Prompt]) -> None:
    """Raises PromptError when an object is first clicked with background clicks only.  prompts: by frame."""
    begun: set[int] = set()
    for prompt in prompts:
        positive = {i for *_, label, i in prompt.clicks or () if label == 1}
        for i in set(prompt.objects) - begun if prompt.clicks is not None else ():
            if i not in positive:
                raise PromptError(
                    f"object {i} has background clicks only on frame {prompt.frame}, where it is clicked "
                    "first; click on the object itself there"
                )
        begun.update(prompt.objects)


def absent_at(absent: Absent, index: int) -> set[int]:
    """Ids of the objects that are given as absent from a frame."""
    return {i for i, ranges in absent.items() if any(first <= index <= last for first, last in ranges)}


def check_absent(absent: Absent, prompts: Iterable[Prompt]) -> None:
    """Raises PromptError when a range makes no sense, or an object is marked where it is absent."""
    for i, ranges in absent.items():
        for first, last in ranges:
            if not (1 <= i <= MAX_OBJECTS and 0 <= first <= last):
                raise PromptError(
                    f"object {i} is given as absent from frame {first} to {last}; give an object from 1 to "
                    f"{MAX_OBJECTS}, and a first frame that is not after the last"
                )
    for prompt in prompts:
        gone = absent_at(absent, prompt.frame)
        shown = prompt.objects if prompt.labels is None else np.unique(prompt.labels).tolist()
        for i in sorted(gone.intersection(shown)):
            raise PromptError(
                f"object {i} is marked on frame {prompt.frame}, where it is given as absent; leave one of "
                "the two out"
            )


def as_given(labels: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """labels uint8 (H, W) of a frame, in which the masks given for it are exactly as they were given.

    Unchanged where there are clicks among the prompts: they correct masks.
    """
    if any(prompt.labels is None for prompt in prompts):
        return labels
    for prompt in prompts:
        spoken = np.isin(np.arange(256), prompt.objects)
        labels = np.where(spoken[labels] | (prompt.labels > 0), prompt.labels, labels)
    return labels


def _checked_objects(objects: Iterable[int]) -> set[int]:
    try:
        return {operator.index(i) for i in objects}
    except TypeError as error:
        raise PromptError(f"objects are {objects!r}, expected their ids; give whole numbers") from error


def _checked_frame(frame: int) -> int:
    numeric = isinstance(frame, (int, float, np.number)) and not isinstance(frame, bool)
    if not numeric or frame < 0 or frame % 1 != 0:
        raise PromptError(f"prompted frame is {frame!r}, expected a whole number from 0; count frames from 0")
    return int(frame)
