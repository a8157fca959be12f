"""COCO and CVAT of other programs: what can be meant is accepted, the rest is refused in one sentence."""

import json

import numpy as np
import pytest
import taken

from stm_core.errors import StmError
from stm_core.incoming.masks import read_masks
from stm_core.masks.rle import coco_counts

SIZE, FRAMES = taken.SIZE, 5


def back(path, frames=FRAMES, size=SIZE) -> dict:
    return taken.truth_of(read_masks(path, size, frames))


def coco(**changes) -> dict:
    mask = np.zeros(SIZE, bool)
    mask[5:20, 7:30] = True
    row = {"image_id": 7, "category_id": 3, "segmentation": {"size": [*SIZE], "counts": coco_counts(mask)}}
    image = {"id": 7, "file_name": "b/f_2.jpg", "height": SIZE[0], "width": SIZE[1]}
    return {"images": [{**image, **changes.pop("image", {})}], "annotations": [{**row, **changes}]}


def test_coco_of_plain_runs_and_of_polygons(tmp_path):
    path, expected = tmp_path / "a.json", np.zeros(SIZE, bool)
    expected[5:20, 7:30] = True
    polygon = [[7, 5, 30, 5, 30, 20, 7, 20]]
    for content in (coco(), coco(segmentation=polygon), coco(segmentation=polygon * 2, track_id="car 3")):
        path.write_text(json.dumps(content))
        taken.same(back(path), {2: {3: expected}})
    attributes = {"attributes": {"occluded": False, "track_id": 4}}  # as CVAT has it
    path.write_text(json.dumps(coco(**attributes)))
    taken.same(back(path), {2: {4: expected}})
    hole = [[7, 5, 30, 5, 30, 20, 7, 20, 7, 5, 10, 8, 10, 12, 14, 12, 14, 8, 10, 8]]  # even-odd
    path.write_text(json.dumps(coco(segmentation=hole)))
    assert back(path)[2][3].sum() == expected.sum() - 16


BAD_COCO = [
    [], 5, {"images": []}, {"images": [], "annotations": []}, {"images": [1], "annotations": []},
    coco(image_id=8), coco(image_id=[]), coco(segmentation=[]), coco(segmentation=None),
    coco(segmentation=[[1, 2]]),
    coco(segmentation=[["a"] * 6]), coco(segmentation=[[10**400, 1, 2, 3, 4, 5]]),
    coco(segmentation=[[1, 2, float("nan"), 3, 4, 5]]),
    coco(image={"width": 5}),
    coco(segmentation={"size": [1, 1], "counts": [1]}), coco(segmentation={"size": [*SIZE], "counts": "abc"}),
    coco(segmentation={"size": [*SIZE], "counts": [3]}),
    coco(segmentation={"size": [*SIZE], "counts": [-5, SIZE[0] * SIZE[1] + 5]}),
    coco(image={"file_name": "f_99.jpg"}),
    coco(segmentation={"size": [*SIZE], "counts": [SIZE[0] * SIZE[1]]}), coco(image={"id": {}}),
]  # fmt: skip
BOX = '<image id="0" name="0.png" width="67" height="45">{}</image>'
MASK = '<mask label="a" rle="{}" left="{}" top="1" width="2" height="1"/>'
BAD_CVAT = [
    "", "<annotations/>", "<annotations><image", "<svg/>", "<annotations><track/></annotations>",
    BOX.format('<box label="a"/>'), BOX.format(MASK.format("1", 1)), BOX.format(MASK.format("a", 1)),
    BOX.format(MASK.format("1,1", 66)), BOX.format(MASK.format("1,1", -1)),
    BOX.format(MASK.format("0,2", "x")),
    BOX.format('<polygon label="a" points="1,2;3"/>'), BOX.format('<polygon label="a" points="1,2;3,4"/>'),
    BOX.replace('id="0" name="0.png"', 'id="-1" name="a.png"').format(MASK.format("0,2", 1)),
    BOX.replace("67", "66").format(MASK.format("0,2", 1)), '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>',
]  # fmt: skip


@pytest.mark.parametrize("n", range(len(BAD_COCO) + len(BAD_CVAT)))
def test_annotations_that_cannot_be_meant_are_refused_in_a_sentence(tmp_path, n):
    if n < len(BAD_COCO):
        path, text = tmp_path / "a.json", json.dumps(BAD_COCO[n])
    else:
        path, text = tmp_path / "a.xml", BAD_CVAT[n - len(BAD_COCO)]
        text = f"<annotations>{text}</annotations>" if text.startswith("<image") else text
    path.write_text(text)
    with pytest.raises(StmError) as error:
        back(path)
    assert "\n" not in str(error.value) and len(str(error.value)) > 30
