"""Every public function answers an argument of the wrong kind with an StmError, never with a traceback."""

from pathlib import Path

import numpy as np
import pytest
import torch

import stm_core as stm

CLIP = Path(__file__).parent.parent / "assets" / "examples" / "balloon.mp4"
LABELS = np.zeros((48, 64), np.uint8)
LABELS[10:20, 10:20] = 1
IMAGE = np.zeros((48, 64, 3), np.uint8)
WRONG = [None, -1, 2.5, float("nan"), True, "x", b"x", [], [1, 2], {}, object(), np.zeros(3), np.array(["a"])]


def first(frames):
    with_frames = iter(frames)
    try:
        return next(with_frames)
    except StopIteration:  # an empty clip was asked for
        return None
    finally:
        with_frames.close()


def calls(model, folder):
    """name -> (function, positional arguments, keyword arguments), all as they should be."""
    prompt, memory = stm.Prompt.from_mask(LABELS), stm.MemoryConfig()
    options = {"memory": memory, "size": 48}
    return {
        "MemoryConfig": (stm.MemoryConfig, [], dict(preset="bounded", every=5, budget_bytes=2**26, top_k=3)),
        "VideoLimits": (stm.VideoLimits, [], dict(max_bytes=1, max_pixels=1, max_frames=1, max_seconds=1)),
        "VideoWriter": (lambda *a, **k: stm.VideoWriter(*a, **k).abort(), [folder / "o", 64, 48], {"fps": 5}),
        "encode_mask": (stm.encode_mask, [LABELS], {}),
        "evaluate_masks": (stm.evaluate_masks, [[LABELS], [LABELS]], {}),
        "from_clicks": (stm.Prompt.from_clicks, [[(15, 15, 1, 1)]], {"frame": 0}),
        "from_mask": (stm.Prompt.from_mask, [LABELS], {"frame": 0}),
        "load_model": (stm.load_model, ["compact"], {"device": "cpu", "dtype": "fp32"}),
        "object_ids": (stm.object_ids, [LABELS], {}),
        "overlay": (stm.overlay, [IMAGE, LABELS], {}),
        "predict": (stm.predict, [model.network, memory, 48, 64, 1, 10, torch.float32], {}),
        "probe": (stm.probe, [CLIP], {"limits": stm.VideoLimits()}),
        "propagate": (lambda *a, **k: first(stm.propagate(*a, **k)), [model, [IMAGE], prompt], options),
        "random_model": (stm.random_model, ["compact-tiny"], {}),
        "read_frame": (stm.read_frame, [CLIP, 0], {}),
        "read_mask": (stm.read_mask, [LABELS], {}),
        "read_video": (lambda *a, **k: first(stm.read_video(*a, **k)), [CLIP], {"start": 0, "stop": 3}),
        "segment_clip": (lambda *a, **k: first(stm.segment_clip(*a, **k)), [model, CLIP, prompt], options),
        "segment_frame": (stm.segment_frame, [model, IMAGE, [(15, 15, 1)]], {"mask": None, "size": None}),
        "write_mask": (stm.write_mask, [folder / "o.png", LABELS], {}),
    }


NAMES = sorted(calls(stm.random_model("compact-tiny"), Path()))


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_of_the_wrong_kind_is_told_in_words(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "x" is a fine name for a file to write
    function, given, named = calls(stm.random_model("compact-tiny"), tmp_path)[name]
    for place in [*range(len(given)), *named]:
        for wrong in WRONG:
            arguments, options = list(given), dict(named)
            (options if isinstance(place, str) else arguments)[place] = wrong
            try:
                function(*arguments, **options)
            except stm.StmError as error:
                assert "\n" not in str(error) and len(str(error)) > 20
