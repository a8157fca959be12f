"""How good a mask is after 1, 2, 3 and 5 clicks.

Each click goes to the middle of the largest error, as in the literature on interactive segmentation.
OpenCV's GrabCut is scored in the same way where `opencv-python-headless` is installed, which this project
does not need otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from stm_core.engine.clicks import segment_frame
from stm_core.networks.weights import load_model
from stm_core.training.data.clicks import error_click
from stm_core.training.data.stores import IGNORE, held_out

COUNTED = (1, 2, 3, 5)  # clicks after which the overlap is reported
COLUMNS = (*(f"IoU@{n}" for n in COUNTED), "NoC@85")
MOST_CLICKS = 10
GOOD = 0.85  # NoC@85: clicks until this overlap, MOST_CLICKS where it is never reached
SMALLEST = 0.002  # share of the picture; smaller objects are left out

Segmenter = Callable[[np.ndarray, list[tuple], np.ndarray | None], np.ndarray]


def score(examples: list[tuple[np.ndarray, np.ndarray]], segmenter: Segmenter) -> dict[str, float]:
    """Mean overlap after each of COUNTED clicks and NoC@85.

    examples: (image uint8 (H,W,3), truth uint8 (H,W): 1 object, 255 ignored).  segmenter(image, clicks,
    previous mask or None) -> bool (H,W); clicks are (x, y, label, 1).
    """
    rows = np.array([_one(image, truth, segmenter) for image, truth in examples])
    reached = np.where((rows >= GOOD).any(1), (rows >= GOOD).argmax(1) + 1, MOST_CLICKS)
    return {f"IoU@{n}": float(rows[:, n - 1].mean()) for n in COUNTED} | {"NoC@85": float(reached.mean())}


def _one(image: np.ndarray, truth: np.ndarray, segmenter: Segmenter) -> list[float]:
    """Overlap after each click, up to MOST_CLICKS; after a perfect mask there are no more clicks."""
    clicks: list[tuple[int, int, int, int]] = []
    overlaps: list[float] = []
    found = None
    known = truth != IGNORE
    for _ in range(MOST_CLICKS):
        click = error_click(np.zeros_like(known) if found is None else found, truth == 1, ~known)
        if click is None:
            overlaps += [1.0] * (MOST_CLICKS - len(overlaps))
            break
        clicks.append((*click, 1))
        found = segmenter(image, clicks, found)
        union = ((truth == 1) | found) & known
        overlaps.append(float(((truth == 1) & found).sum() / max(union.sum(), 1)))
    return overlaps


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


def read_examples(folder: Path, every: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each `every`-th picture with the mask of its largest object.

    folder: a DAVIS root, or a folder with images/ and masks/, of which training leaves some out.
    """
    davis = folder / "Annotations"
    masks = sorted(davis.glob("**/*.png") if davis.is_dir() else (folder / "masks").glob("*.png"))
    if not davis.is_dir():
        masks = [path for path in masks if held_out(path)]
    for path in masks[::every]:
        picture = _picture_of(path)
        labels = np.array(Image.open(path))
        if davis.is_dir():
            labels = (labels > 0).astype(np.uint8)
        ids, counts = np.unique(labels[(labels > 0) & (labels != IGNORE)], return_counts=True)
        if len(ids) and counts.max() > SMALLEST * labels.size:
            truth = np.where(labels == ids[counts.argmax()], 1, np.where(labels == IGNORE, IGNORE, 0))
            yield np.array(Image.open(picture).convert("RGB")), truth.astype(np.uint8)


def _picture_of(mask: Path) -> Path:
    text = str(mask).replace("/Annotations/", "/JPEGImages/").replace("/masks/", "/images/")
    return next(p for p in (Path(text).with_suffix(s) for s in (".jpg", ".webp", ".png")) if p.exists())


def methods(weights: str) -> dict[str, Segmenter]:
    """Name -> segmenter: the network, and GrabCut where OpenCV is installed."""
    found = {"compact": by_network(weights)}
    return found | {"GrabCut": by_grabcut} if find_spec("cv2") else found
