"""Changes to a frame's marks: clicks, drawn and imported masks.  A visitor's mistake raises an StmError."""

from copy import deepcopy

import numpy as np

from demo.limits import Limits
from demo.work.marks import Marks
from demo.work.work import Work
from stm_core.engine.prompts import absent_at
from stm_core.errors import LimitError, MaskError, PromptError
from stm_core.masks.mask_files import encode_mask, object_ids


def plan_click(work: Work, index: int, x: float, y: float, label: int, number: int, limit: int) -> Marks:
    """A frame's marks with one more click of an object; their mask is still to be computed.

    Raises PromptError outside the picture, and LimitError beyond `limit` clicks.
    """
    height, width = work.clip.size
    x, y = int(x), int(y)
    if not (0 <= x < width and 0 <= y < height):
        raise PromptError(f"the click at {x},{y} is outside the picture of {width}x{height}; click inside it")
    marks = _marks_to_change(work, index, limit)
    return marks.with_click((x, y, int(bool(label)), work.objects[number].id))


def plan_move(work: Work, index: int, place: int) -> Marks:
    """A frame's marks with a click given to the selected object; their mask is still to be computed.

    place: of the click among the frame's dots.
    Raises PromptError when there is no such click.
    """
    marks = work.marks.get(index)
    if marks is None or not 0 <= place < len(marks.dots):
        raise PromptError("there is no such click on this frame; reload the page")
    return marks.with_moved(place, work.objects.selected)


def put(work: Work, index: int, marks: Marks, labels: np.ndarray) -> None:
    """Store a frame's marks with the mask that was computed for them; one step of undo."""
    _check_there(work, index, labels)
    with work.one_step(index):
        work.keep(index, marks.computed(labels))


def draw(work: Work, index: int, labels: np.ndarray, limit: int) -> None:
    """Replace a frame's mask by one that was drawn, labels uint8 (H, W)."""
    marks = _drawn(work, index, labels, limit)
    with work.one_step(index):
        work.keep(index, marks)


def _drawn(work: Work, index: int, labels: np.ndarray, limit: int) -> Marks:
    height, width = work.clip.size
    if labels.shape != (height, width):
        raise MaskError(
            f"the mask is {labels.shape[1]}x{labels.shape[0]}, the clip {width}x{height}; "
            "export it at the clip's size"
        )
    _check_there(work, index, labels)
    return _marks_to_change(work, index, limit).drawn(labels)


def import_labels(work: Work, index: int, labels: np.ndarray, limits: Limits) -> None:
    """Mark a frame with an imported mask; objects that are new are added.  Raises LimitError, MaskError."""
    found = object_ids(labels)
    if not found:
        raise MaskError("this mask is empty; paint the object in white or in a palette colour")
    objects = deepcopy(work.objects)
    objects.adopt(found, limits.max_objects)
    marks = _drawn(work, index, labels, limits.max_edits)
    with work.one_step(index):
        work.objects = objects
        work.keep(index, marks)


def _check_there(work: Work, index: int, labels: np.ndarray) -> None:
    """Raises PromptError when labels show an object on a frame where it is marked as gone."""
    for number in sorted(absent_at(work.absent, index).intersection(object_ids(labels))):
        name = work.objects[number].name if number in work.objects else f"Object {number}"
        raise PromptError(
            f"“{name}” is marked as gone on this frame; select it and press “Not gone here” first"
        )


def clear(work: Work, index: int) -> None:
    """Remove the marks of a frame."""
    if index in work.marks:
        with work.one_step(index):
            work.keep(index, None)


def _marks_to_change(work: Work, index: int, limit: int) -> Marks:
    marks = work.marks.get(index)
    if marks is not None and len(marks.dots) >= limit:
        raise LimitError(
            f"this frame has {len(marks.dots)} clicks, the most allowed here; clear it, or upload a mask"
        )
    shown = None if work.marked(index) else work.result(index)
    ids = () if shown is None else tuple(object_ids(shown))
    if marks is not None and set(ids) <= set(marks.objects):
        return marks
    dots = marks.dots if marks else ()
    return Marks() if shown is None else Marks(base=encode_mask(shown), tracked=ids, dots=dots)
