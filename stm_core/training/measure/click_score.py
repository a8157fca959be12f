"""How good a mask is after 1, 2, 3, 5 and 10 clicks, and how many clicks a good one takes.

Each click goes to the middle of the largest error, as in the literature on interactive segmentation.
OpenCV's GrabCut is scored in the same way where `opencv-python-headless` is installed, which this project
does not need otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from stm_core.engine.boxes import segment_box
from stm_core.engine.clicks import segment_frame
from stm_core.errors import OptionError
from stm_core.networks.weights import load_model
from stm_core.training.data.simulated_clicks import error_click
from stm_core.training.data.stores import IGNORE, PICTURES, held_out

COUNTED = (1, 2, 3, 5, 10)  # clicks after which the overlap is reported
MOST_CLICKS = 20
GOOD = (0.80, 0.85, 0.90)  # NoC@85: clicks until this overlap, MOST_CLICKS where it is never reached
COLUMNS = (
    *(f"IoU@{n}" for n in COUNTED),
    *(f"NoC@{100 * good:.0f}" for good in GOOD),
    "never 85",
    "made worse",
    "s a click",
)
BOX_COLUMNS = ("IoU", "IoU of the box itself", "under 50", "s a box")
WORSE = 0.002  # a click that loses so much overlap has made the mask worse
SMALLEST = 0.002  # share of the picture; smaller objects are left out

Segmenter = Callable[[np.ndarray, list[tuple], np.ndarray | None], np.ndarray]


def score(examples: list[tuple[np.ndarray, np.ndarray]], segmenter: Segmenter) -> dict[str, float]:
    """COLUMNS: mean overlap after some clicks, clicks until it is good, the share of pictures whose mask
    never is, the share of clicks that made a mask worse, seconds a click.

    examples: (image uint8 (H,W,3), truth uint8 (H,W): 1 object, 255 ignored).  segmenter(image, clicks,
    previous mask or None) -> bool (H,W); clicks are (x, y, label, 1).
    """
    began, given = time.perf_counter(), []
    for image, truth in examples:
        given.append(after_clicks(image, truth, segmenter))
    seconds = time.perf_counter() - began
    rows = np.array([row + row[-1:] * (MOST_CLICKS - len(row)) for row in given])
    steps = np.concatenate([np.diff(row) for row in given])
    found = {f"IoU@{n}": float(rows[:, n - 1].mean()) for n in COUNTED}
    for good in GOOD:
        reached = np.where((rows >= good).any(1), (rows >= good).argmax(1) + 1, MOST_CLICKS)
        found[f"NoC@{good * 100:.0f}"] = float(reached.mean())
    found["never 85"] = float((rows < 0.85).all(1).mean())
    found["made worse"] = float((steps < -WORSE).mean()) if len(steps) else 0.0
    return found | {"s a click": seconds / sum(map(len, given))}


def after_clicks(
    image: np.ndarray,
    truth: np.ndarray,
    segmenter: Segmenter,
    found: np.ndarray | None = None,
    most: int = MOST_CLICKS,
) -> list[float]:
    """The overlap after each click, for `most` clicks or until it is perfect; image and truth as in `score`.

    found: bool (H, W), a mask to correct; None: nothing is marked yet.
    """
    clicks: list[tuple[int, int, int, int]] = []
    overlaps: list[float] = []
    known = truth != IGNORE
    while len(overlaps) < most:
        click = error_click(np.zeros_like(known) if found is None else found, truth == 1, ~known)
        if click is None:
            break
        clicks.append((*click, 1))
        found = segmenter(image, clicks, found)
        union = ((truth == 1) | found) & known
        overlaps.append(float(((truth == 1) & found).sum() / max(union.sum(), 1)))
    return overlaps


def score_boxes(examples: list[tuple[np.ndarray, np.ndarray]], weights: str) -> dict[str, float]:
    """BOX_COLUMNS for the exact box around each object: mean overlap of its mask and of the box itself, the
    share of masks under 0.5, seconds a box.  examples: as for `score`.
    """
    model, began, rows = load_model(weights), time.perf_counter(), []
    for image, truth in examples:
        (top, bottom), (left, right) = ((at.min(), at.max() + 1) for at in (truth == 1).nonzero())
        known, box = truth != IGNORE, np.zeros(truth.shape, bool)
        box[top:bottom, left:right] = True
        mask = segment_box(model, image, (left, top, right, bottom))
        rows.append([_overlap(mask & known, truth == 1), _overlap(box & known, truth == 1)])
    found, itself = np.array(rows).T
    seconds = (time.perf_counter() - began) / len(examples)
    return dict(zip(BOX_COLUMNS, (found.mean(), itself.mean(), (found < 0.5).mean(), seconds), strict=True))


def _overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max((found | truth).sum(), 1))


def by_network(weights: str) -> Segmenter:
    """Clicks answered as on the page: by `segment_frame`, each on top of the mask before."""
    model = load_model(weights)

    def segmenter(image: np.ndarray, clicks: list[tuple], found: np.ndarray | None) -> np.ndarray:
        return (
            segment_frame(model, image, clicks, mask=None if found is None else found.astype(np.uint8)) == 1
        )

    return segmenter


def by_grabcut(image: np.ndarray, clicks: list[tuple], found: np.ndarray | None) -> np.ndarray:
    """OpenCV's GrabCut: sure discs at the clicks, probable object in a window around the positive ones."""
    import cv2

    height, width = image.shape[:2]
    seeds = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    reach = round(0.25 * min(height, width))
    for x, y, label, _ in clicks:
        if label == 1 and found is None:
            seeds[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach] = cv2.GC_PR_FGD
    if found is not None:
        seeds[found] = cv2.GC_PR_FGD
    for x, y, label, _ in clicks:
        cv2.circle(seeds, (int(x), int(y)), 5, cv2.GC_FGD if label == 1 else cv2.GC_BGD, -1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image[..., ::-1].copy(), seeds, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    return (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)


def read_examples(folder: Path, every: int, *, everything: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each `every`-th picture of a DAVIS root, or of a folder with images/ and masks/: there all, or only
    those that training leaves out.  The largest object of each is asked for.  Raises OptionError.

    255 is ignored, but in a folder whose masks have no other value it is the object.
    """
    davis = folder / "Annotations"
    masks = sorted(davis.glob("**/*.png") if davis.is_dir() else (folder / "masks").glob("*.png"))
    if not masks:
        raise OptionError(
            f"{folder} has no masks; expected {folder}/masks/*.png beside {folder}/images, or a DAVIS root"
        )
    if not (davis.is_dir() or everything):
        masks = [path for path in masks if held_out(path)]
    stored = [_labels(path) for path in masks[::every]]
    binary = not any(((one > 0) & (one < IGNORE)).any() for one in stored)
    for path, labels in zip(masks[::every], stored, strict=True):
        ids = (labels == IGNORE).astype(np.uint8) if binary else labels
        present, counts = np.unique(ids[(ids > 0) & (ids != IGNORE)], return_counts=True)
        if len(present) and counts.max() > SMALLEST * ids.size:
            truth = np.where(ids == present[counts.argmax()], 1, np.where(ids == IGNORE, IGNORE, 0))
            yield np.array(Image.open(_picture_of(path)).convert("RGB")), truth.astype(np.uint8)


def _labels(mask: Path) -> np.ndarray:
    labels = np.array(Image.open(mask))
    return labels if labels.ndim == 2 else labels[..., 0]


def _picture_of(mask: Path) -> Path:
    text = str(mask).replace("/Annotations/", "/JPEGImages/").replace("/masks/", "/images/")
    for suffix in PICTURES:
        if (found := Path(text).with_suffix(suffix)).exists():
            return found
    raise OptionError(f"{mask} has no picture; put {Path(text).stem}.jpg beside it, into images/")


def methods(weights: str) -> dict[str, Segmenter]:
    """Name -> segmenter: the network, and GrabCut where OpenCV is installed."""
    found = {"compact": by_network(weights)}
    return found | {"GrabCut": by_grabcut} if find_spec("cv2") else found
