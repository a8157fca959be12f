"""What the page tells of a visitor's work: the stage's picture, its hint, and the end of a run."""

import numpy as np

from demo.work.shown import stage_state

ROW = 16  # pixels of a square; each object has a row of its own


def test_a_marked_frame_shows_all_objects_of_a_run_made_since(bench, user, clip):
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add", "frame": 5})
    y, x = np.argwhere(clip[1][5] == 2)[0] + ROW // 2
    bench.click(user, 5, x, y)
    assert set(np.unique(user.work.labels(5))) == {0, 2}
    bench.tracked(user)
    user.work.go(5)
    assert set(np.unique(user.work.labels(5))) == {0, 1, 2}
    assert stage_state(user)["marks"] is None  # so the browser shows the run's
    stroke = {"kind": "stroke", "frame": 5, "radius": 3, "points": [[90, 55]]}
    bench.mark.edit(user, stroke, 0)  # what is shown is what a correction changes
    assert set(np.unique(user.work.labels(5))) == {0, 1, 2} and user.work.labels(5)[55, 90] == 2
    assert stage_state(user)["marks"] and user.work.fixes() == [5]
