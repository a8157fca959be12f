"""Laws of reading ahead and writing behind: everything in order, and the first error ends the work."""

import pytest

from stm_core.engine.threads import WriteBehind, read_ahead


def test_items_come_in_order():
    assert list(read_ahead(iter(range(50)), depth=3)) == list(range(50))


def test_calls_are_done_in_order():
    done = []
    behind = WriteBehind(done.append)
    for n in range(20):
        behind(n)
    behind.close()
    behind.close()
    assert done == list(range(20))


def test_the_first_error_is_raised_and_ends_the_work():
    done = []

    def work(n):
        if n == 2:
            raise OSError("disk full")
        done.append(n)

    behind = WriteBehind(work)
    with pytest.raises(OSError, match="disk full"):
        for n in range(1000):
            behind(n)
    with pytest.raises(OSError, match="disk full"):
        behind.close()
    assert done == [0, 1]
