"""Laws of a clip's objects: numbers stay, one is selected, there is always one."""

import pickle

import numpy as np
import pytest

from demo.work.objects import Objects
from stm_core.errors import LimitError, PromptError
from stm_core.masks.palette import SCREEN


def test_an_added_object_takes_the_first_free_number_and_is_selected():
    objects = Objects()
    objects.adopt([3], limit=8)
    assert objects.selected == 3
    objects.add(limit=8)
    assert [s.id for s in objects] == [1, 2, 3] and objects.selected == 2
    with pytest.raises(LimitError, match="can have 3 objects here and has 3"):
        objects.add(limit=3)


@pytest.mark.parametrize("first", range(len(SCREEN)))
def test_a_new_object_has_a_colour_that_no_other_has(first):
    objects = Objects()
    objects.restart({1: "dog"}, {1: first})
    for number in range(2, len(SCREEN) + 1):
        objects.add(limit=len(SCREEN))
        assert len(set(objects.colours.values())) == number
    for number in range(len(SCREEN), 1, -1):  # marked the other way round, on a picture of one colour
        image = np.full((4, 4, 3), SCREEN[first] // 2, np.uint8)
        objects.colour(image, np.full((4, 4), number, np.uint8))
        assert len(set(objects.colours.values())) == len(SCREEN)


def test_the_last_object_is_replaced_by_a_fresh_one():
    objects = Objects()
    objects.restart({7: "dog"})
    assert objects.selected == 7
    objects.remove(7)
    assert [(s.id, s.name) for s in objects] == [(1, "Object 1")] and objects.selected == 1


def test_removing_the_selected_object_selects_another():
    objects = Objects()
    objects.add(limit=8)
    objects.remove(2)
    assert objects.selected == 1 and 2 not in objects


def test_too_many_adopted_objects_change_nothing():
    objects = Objects()
    with pytest.raises(LimitError, match="has 3 objects, 2 are allowed"):
        objects.adopt([4, 5, 6], limit=2)
    assert objects == Objects()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("  a\n\tb ", "a b"), ("", "Object 1"), ("\x00\x07", "Object 1"), ("x" * 99, "x" * 24)],
)
def test_a_name_is_tidied(typed, kept):
    objects = Objects()
    objects.rename(1, typed)
    assert objects[1].name == kept


def test_an_unknown_object_is_refused_by_name_of_those_there_are():
    objects = Objects()
    for action in (objects.select, objects.remove, lambda n: objects.rename(n, "x")):
        with pytest.raises(PromptError, match="no object 77.*Object 1"):
            action(77)
    assert pickle.loads(pickle.dumps(objects)) == objects
