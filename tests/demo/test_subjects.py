"""Laws of a clip's objects: numbers stay, one is selected, there is always one."""

import pickle

import pytest

from demo.work.subjects import Subjects
from stm_core.errors import LimitError, PromptError


def test_an_added_object_takes_the_first_free_number_and_is_selected():
    subjects = Subjects()
    subjects.adopt([3], limit=8)
    assert subjects.selected == 3
    subjects.add(limit=8)
    assert [s.id for s in subjects] == [1, 2, 3] and subjects.selected == 2
    with pytest.raises(LimitError, match="can have 3 objects here and has 3"):
        subjects.add(limit=3)


def test_the_last_object_is_replaced_by_a_fresh_one():
    subjects = Subjects()
    subjects.restart({7: "dog"})
    assert subjects.selected == 7
    subjects.remove(7)
    assert [(s.id, s.name) for s in subjects] == [(1, "Object 1")] and subjects.selected == 1


def test_removing_the_selected_object_selects_another():
    subjects = Subjects()
    subjects.add(limit=8)
    subjects.remove(2)
    assert subjects.selected == 1 and 2 not in subjects


def test_too_many_adopted_objects_change_nothing():
    subjects = Subjects()
    with pytest.raises(LimitError, match="has 3 objects, 2 are allowed"):
        subjects.adopt([4, 5, 6], limit=2)
    assert subjects == Subjects()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("  a\n\tb ", "a b"), ("", "Object 1"), ("\x00\x07", "Object 1"), ("x" * 99, "x" * 24)],
)
def test_a_name_is_tidied(typed, kept):
    subjects = Subjects()
    subjects.rename(1, typed)
    assert subjects[1].name == kept


def test_an_unknown_object_is_refused_by_name_of_those_there_are():
    subjects = Subjects()
    for action in (subjects.select, subjects.remove, lambda n: subjects.rename(n, "x")):
        with pytest.raises(PromptError, match=r"no object 77; choose one of \[1\]"):
            action(77)
    assert pickle.loads(pickle.dumps(subjects)) == subjects
