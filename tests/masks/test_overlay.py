"""Overlays: objects are tinted and outlined, everything else stays as it is."""

import numpy as np

from stm_core.masks.overlay import overlay
from stm_core.masks.palette import OVERLAY_COLOURS, lighter

SIZE = (120, 160)
FOUND = np.zeros(SIZE, np.uint8)
FOUND[20:100, 10:40], FOUND[20:100, 40:70] = 1, 9


def test_overlay_changes_objects_only_and_not_its_input():
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    before, found = frame.copy(), FOUND
    out = overlay(frame, found, alpha=0.5, contour=False)
    assert (frame == before).all() and (out[found == 0] == frame[found == 0]).all()
    blend = frame[found > 0] * 0.5 + OVERLAY_COLOURS[found[found > 0]] * 0.5
    assert np.abs(out[found > 0] - blend).max() <= 1
    assert (overlay(frame, found, alpha=0, contour=False) == frame).all()
    assert (overlay(frame, found, alpha=1, contour=False)[found == 9] == OVERLAY_COLOURS[9]).all()
    assert (overlay(frame, np.zeros(SIZE, np.uint8)) == frame).all()


def test_contour_marks_the_rim_inside_the_object():
    frame = np.full((*SIZE, 3), 90, np.uint8)
    found = np.where(FOUND == 1, FOUND, 0)
    out = overlay(frame, found, alpha=0.25)
    rim = lighter(OVERLAY_COLOURS)[1]
    assert (out[20, 20] == rim).all() and (out[60, 25] != rim).any()
    assert (rim >= OVERLAY_COLOURS[1]).all() and (rim > OVERLAY_COLOURS[1]).any()
    assert (out[found == 0] == 90).all()
