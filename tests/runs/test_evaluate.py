"""Laws of the scores: what is scored, against what, and that J and F come out as DAVIS states them."""

import json

import numpy as np
import pytest
from PIL import Image

from stm_core.errors import MaskError, OptionError, StmError
from stm_core.masks.mask_files import write_mask
from stm_core.runs import evaluate as module
from stm_core.runs.clip import ClipFrame
from stm_core.runs.evaluate import evaluate, find_sequences, read_truth

SIZE = (40, 56)


def labels_at(t: int) -> np.ndarray:
    """Two squares that move: ids 1 and 2."""
    labels = np.zeros(SIZE, np.uint8)
    labels[5 + t : 20 + t, 5:20] = 1
    labels[10:25, 30 + t : 45 + t] = 2
    return labels


@pytest.fixture
def davis(tmp_path):
    """A DAVIS folder with two sequences of six frames."""
    root = tmp_path / "davis"
    for name in ("cow", "dog"):
        pictures, truths = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        pictures.mkdir(parents=True)
        truths.mkdir(parents=True)
        for t in range(6):
            Image.new("RGB", SIZE[::-1], (9 * t, 80, 80)).save(pictures / f"{t:05d}.jpg")
            write_mask(truths / f"{t:05d}.png", labels_at(t))
    return root


class Result:
    """As much of a FrameResult as the evaluation uses."""

    def __init__(self, index: int, labels: np.ndarray):
        self.index, self.labels = index, labels


@pytest.fixture
def answers(monkeypatch):
    """Replaces the network by a function from (frame index, first labels) to labels."""

    def install(answer):
        def segment_clip(model, path, prompt, **options):
            for t in range(6):
                yield ClipFrame(None, 0.0, Result(t, answer(t, prompt.labels)))

        monkeypatch.setattr(module, "segment_clip", segment_clip)

    return install


def test_true_masks_score_one_and_files_are_laid_out(davis, answers, tmp_path):
    answers(lambda t, first: labels_at(t))
    scores = evaluate(None, find_sequences(davis, 2017, "val"), tmp_path / "out", year=2017)
    assert list(scores) == ["J&F", "J", "F", "fps", "sequences"]
    assert scores["J&F"] == scores["J"]["mean"] == scores["F"]["recall"] == 1.0
    assert scores["J"]["decay"] == 0.0
    assert scores["sequences"]["dog"] == {"J": 1.0, "F": 1.0}
    assert json.loads((tmp_path / "out/scores.json").read_text()) == scores
    assert len(list((tmp_path / "out/masks/cow").glob("*.png"))) == 6


@pytest.mark.parametrize("year", [2016, 2017])
def test_the_first_and_last_frame_are_not_scored(davis, answers, tmp_path, year):
    true = {2016: lambda t: (labels_at(t) > 0).astype(np.uint8), 2017: labels_at}[year]
    answers(lambda t, first: true(t) if 0 < t < 5 else np.zeros(SIZE, np.uint8))
    scores = evaluate(None, find_sequences(davis, year, "val", ["cow"]), tmp_path / "out", year=year)
    assert scores["J&F"] == 1.0


def test_objects_are_averaged_one_by_one_in_2017(davis, answers, tmp_path):
    answers(lambda t, first: np.where(labels_at(t) == 2, 0, labels_at(t)).astype(np.uint8))  # 2 is lost
    scores = evaluate(None, find_sequences(davis, 2017, "val", ["cow"]), tmp_path / "out", year=2017)
    assert scores["J"]["mean"] == scores["F"]["mean"] == scores["sequences"]["cow"]["J"] == 0.5


def test_annotations_are_read_by_year(tmp_path):
    Image.fromarray(np.array([[0, 255, 1]], np.uint8)).save(tmp_path / "a.png")
    assert read_truth(tmp_path / "a.png", 2016).tolist() == [[0, 1, 1]]
    assert read_truth(tmp_path / "a.png", 2017).tolist() == [[0, 0, 1]]  # 255 is background


def test_objects_are_one_to_the_largest_of_the_first_frame_in_2017(davis, answers, tmp_path):
    def skipping(t):  # ids 1 and 3
        return np.where(labels_at(t) == 2, 3, labels_at(t)).astype(np.uint8)

    for t in range(6):
        write_mask(davis / f"Annotations/480p/cow/{t:05d}.png", skipping(t))
    answers(lambda t, first: np.where(skipping(t) == 1, 2, skipping(t)).astype(np.uint8))  # 2 is never there
    scores = evaluate(None, find_sequences(davis, 2017, "val", ["cow"]), tmp_path / "out", year=2017)
    assert scores["sequences"]["cow"] == {"J": pytest.approx(1 / 3), "F": pytest.approx(1 / 3)}
    answers(lambda t, first: skipping(t))
    scores = evaluate(None, find_sequences(davis, 2017, "val", ["cow"]), tmp_path / "out", year=2017)
    assert scores["J&F"] == 1.0


def test_void_is_background_in_2017(davis, answers, tmp_path):
    for t in range(6):
        labels = labels_at(t)
        write_mask(davis / f"Annotations/480p/cow/{t:05d}.png", np.where(labels == 2, 255, labels))
    answers(lambda t, first: (labels_at(t) > 0).astype(np.uint8))  # object 1 spills over the void
    sequences = find_sequences(davis, 2017, "val", ["cow"])
    assert evaluate(None, sequences, tmp_path / "out", year=2017)["J"]["mean"] == pytest.approx(0.5)


def test_masks_of_0_and_255_are_for_2016(davis, answers, tmp_path):
    answers(lambda t, first: first)
    for t in range(6):
        write_mask(davis / f"Annotations/480p/cow/{t:05d}.png", (labels_at(t) > 0) * np.uint8(255))
    sequences = find_sequences(davis, 2017, "val", ["cow"])
    with pytest.raises(MaskError, match="--year 2016"):
        evaluate(None, sequences, tmp_path / "out", year=2017)
    write_mask(davis / "Annotations/480p/cow/00000.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(MaskError, match="first frame"):
        evaluate(None, sequences, tmp_path / "out", year=2017)


def test_a_list_that_is_no_text_is_refused_in_words(davis):
    listing = davis / "ImageSets/2017/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_bytes("dög\n".encode("latin-1"))
    with pytest.raises(OptionError, match="val.txt"):
        find_sequences(davis, 2017, "val")


def test_the_list_of_the_set_decides(davis):
    listing = davis / "ImageSets/2017/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("dog\n")
    assert [sequence.name for sequence in find_sequences(davis, 2017, "val")] == ["dog"]
    assert [sequence.name for sequence in find_sequences(davis, 2016, "val")] == ["cow", "dog"]


def test_mistakes_are_told(davis, tmp_path):
    with pytest.raises(OptionError, match="DAVIS"):
        find_sequences(tmp_path, 2017, "val")
    with pytest.raises(OptionError, match="cat"):
        find_sequences(davis, 2017, "val", ["cat"])
    (davis / "Annotations/480p/dog/00003.png").unlink()
    with pytest.raises(OptionError, match="dog"):
        find_sequences(davis, 2017, "val")


def test_a_run_that_fails_leaves_the_scores_of_what_it_finished_and_no_older_ones(davis, answers, tmp_path):
    sequences, out = find_sequences(davis, 2017, "val"), tmp_path / "out"

    def fails(at):
        left = iter(range(at))
        answers(lambda t, first: labels_at(t) if next(left, None) is not None else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate(None, sequences, out, year=2017)

    answers(lambda t, first: labels_at(t))
    evaluate(None, sequences, out, year=2017)
    fails(at=8)  # in the second sequence
    scores = json.loads((out / "scores.json").read_text())
    assert list(scores["sequences"]) == ["cow"] and scores["J&F"] == 1.0
    fails(at=2)
    assert not (out / "scores.json").exists()


@pytest.mark.parametrize("name", ["masks/dog/00003.png", "scores.json", "report.json"])
@pytest.mark.parametrize("before", [True, False])
def test_files_of_somebody_else_are_refused_before_a_frame_is_read(davis, answers, tmp_path, name, before):
    sequences, out = find_sequences(davis, 2017, "val"), tmp_path / "out"
    answers(lambda t, first: labels_at(t))
    if before:
        for _ in range(2):  # its own may be replaced
            evaluate(None, sequences, out, year=2017)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    answers(None)
    with pytest.raises(OptionError, match=name.rpartition("/")[2]):
        evaluate(None, sequences, out, year=2017)
    assert (out / name).read_text() == "mine"


def test_results_of_other_sequences_stay_and_stay_ours(davis, answers, tmp_path):
    answers(lambda t, first: labels_at(t))
    for names in (["cow"], ["dog"], ["cow"]):
        evaluate(None, find_sequences(davis, 2017, "val", names), tmp_path / "out", year=2017)
    files = json.loads((tmp_path / "out/report.json").read_text())["files"]
    assert len(files) == 13 and len(list((tmp_path / "out/masks").rglob("*.png"))) == 12


def test_a_missing_prediction_is_an_error(davis, tmp_path):
    sequence = find_sequences(davis, 2017, "val", ["cow"])[0]
    with pytest.raises(StmError, match="00000.png"):
        module.score(sequence, tmp_path, 2017)
