"""Which frames of a finished run a person should look at, the most doubtful first, and why.

One pure function over the records: `suggestions`.  How sure a network is differs from clip to clip, so each
object is compared with itself: with its usual confidence, and with the frames just before.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stm_core.engine.prompts import Absent, absent_at
from stm_core.runs.record import Record, Shape

MERGED = 10  # frames around a suggestion that need none of their own
MOST = 15  # suggestions per object
BEFORE = 3  # frames before, whose areas and places say what to expect
USUAL = 75  # percentile of an object's confidences that counts as usual for it
FLOOR = 0.01  # doubt that every network has
# for each reason: the value from which a frame is worth a look, and the score of each unit of it
LOW, W_LOW = 1.0, 1.0  # confidence: how often its doubt is doubled
AREA, W_AREA = math.log2(1.4), 1.5  # how often the area is doubled or halved
COURSE, W_COURSE = 0.35, 1.5  # distance from the expected place, in roots of the area
FAR = 4.0  # from this distance on it is elsewhere, however far
REFUSED, W_REFUSED = 0.2, 2.0  # share of what resembled the object
UNLIKE, W_UNLIKE = 0.2, 2.0  # 1 - overlap with the mask from the other side
W_BACK, W_PIECES, W_TOUCHES = 2.0, 0.7, 0.5  # each time it happens
W_VANISHED = 10.0  # more than any distance from the course gives

FIRST = ("flagged", "vanished")  # frames with these reasons come first

REASONS = {
    "flagged": "You flagged this frame.",
    "vanished": "The object vanished here.",
    "back": "The object turned up again here.",
    "area": "Its size changed suddenly.",
    "course": "It is not where it was expected.",
    "low": "The network is less sure here than on other frames.",
    "lookalike": "Something that looks like it is nearby.",
    "unlike": "Tracked from the other direction, it came out differently.",
    "pieces": "It split into pieces.",
    "touches": "It began to touch another object.",
}


@dataclass(frozen=True)
class Suggestion:
    """A frame to look at.

    obj: id of the object.
    reasons: keys of REASONS, the strongest first.
    score: how strong the reasons are together.
    """

    frame: int
    obj: int
    reasons: tuple[str, ...]
    score: float

    @property
    def sentence(self) -> str:
        """The sentence of the strongest reason."""
        return REASONS[self.reasons[0]]


def suggestions(
    records: Mapping[int, Record],
    objects: Collection[int],
    *,
    seen: Collection[tuple[int, int]] = (),
    flagged: Collection[tuple[int, int]] = (),
    absent: Absent | None = None,
) -> list[Suggestion]:
    """Frames to look at, the most doubtful first.

    records: by frame; marked frames need no look, nor those on which an object is said to be `absent`.
    seen: (frame, object) that a person found right; nothing within MERGED frames of them comes again.
    flagged: (frame, object) that a person flagged; they come first.
    """
    found = [Suggestion(n, i, ("flagged",), math.inf) for n, i in sorted(flagged)]
    for i in objects:
        taken = [n for n, obj in (*seen, *flagged) if obj == i]
        gone = {n for n in records if i in absent_at(absent or {}, n)}
        found += _best(i, _weighed(records, i, gone), taken)
    return sorted(found, key=lambda one: (one.reasons[0] not in FIRST, -one.score, one.frame, one.obj))


def _best(obj: int, weighed: Mapping[int, dict[str, float]], taken: list[int]) -> list[Suggestion]:
    """The frames of an object with the highest scores, none near another one or near those in `taken`."""
    found: list[Suggestion] = []
    for frame, weights in sorted(weighed.items(), key=lambda one: (-sum(one[1].values()), one[0])):
        if len(found) < MOST and all(abs(frame - other) > MERGED for other in taken):
            reasons = sorted(weights, key=lambda reason: -weights[reason])
            found.append(Suggestion(frame, obj, tuple(reasons), sum(weights.values())))
            taken.append(frame)
    return found


def _weighed(records: Mapping[int, Record], obj: int, gone: Collection[int]) -> dict[int, dict[str, float]]:
    """Reasons to look, with their scores, by frame.  Frames without any are left out.

    gone: frames on which the object is said to be absent.
    """
    sure = [one.confidence.get(obj, 1.0) for one in records.values() if one.areas.get(obj)]
    usual = float(np.percentile(sure, USUAL)) if sure else 1.0
    found = {}
    for frame in sorted(records):
        earlier = [records[n] for n in range(frame - BEFORE, frame) if n in records]
        # the frame before is missing where a run began, or was stopped
        earlier = earlier if frame - 1 in records else []
        told = records[frame].prompted or frame in gone
        if weights := {} if told else _weights(records[frame], earlier, obj, usual):
            found[frame] = weights
    return found


def _weights(record: Record, earlier: Sequence[Record], obj: int, usual: float) -> dict[str, float]:
    area, before = record.areas.get(obj, 0), earlier[-1].areas.get(obj, 0) if earlier else 0
    if not area:
        return {"vanished": W_VANISHED} if before else {}
    found = {}
    doubt = math.log2((1 - record.confidence.get(obj, 1.0) + FLOOR) / (1 - usual + FLOOR))
    if doubt >= LOW:
        found["low"] = W_LOW * doubt
    if earlier and not before:
        found["back"] = W_BACK
    found |= _moved(record, [one for one in earlier if one.areas.get(obj)], obj)
    refused, unlike = record.refused.get(obj, 0.0), 1 - record.agreement.get(obj, 1.0)
    if refused >= REFUSED:
        found["lookalike"] = W_REFUSED * refused
    if unlike >= UNLIKE:
        found["unlike"] = W_UNLIKE * unlike
    return found


def _moved(record: Record, earlier: Sequence[Record], obj: int) -> dict[str, float]:
    """Reasons to look, with their scores, from comparing with the frames before that show the object."""
    if not earlier:
        return {}
    found: dict[str, float] = {}
    area = record.areas[obj]
    usual = float(np.median([one.areas[obj] for one in earlier]))
    jump = abs(math.log2(area / usual))
    if jump >= AREA:
        found["area"] = W_AREA * jump
    shape, shapes = record.shapes.get(obj), [one.shapes[obj] for one in earlier if obj in one.shapes]
    if shape is None or not shapes:
        return found
    away = _off_course(shape, shapes) / math.sqrt(max(area, usual))
    if away >= COURSE:
        found["course"] = W_COURSE * min(away, FAR)
    if shape.pieces > max(one.pieces for one in shapes):
        found["pieces"] = W_PIECES
    if set(shape.touches) - {n for one in shapes for n in one.touches}:
        found["touches"] = W_TOUCHES
    return found


def _off_course(shape: Shape, earlier: Sequence[Shape]) -> float:
    """Pixels from where the object went, or was: the nearest of the places before and of the next one."""
    first, last = earlier[0], earlier[-1]
    pace = max(len(earlier) - 1, 1)
    ahead = last.x + (last.x - first.x) / pace, last.y + (last.y - first.y) / pace
    places = [ahead, *((one.x, one.y) for one in earlier)]
    return min(math.hypot(x - shape.x, y - shape.y) for x, y in places)
