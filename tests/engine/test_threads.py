"""Laws of reading ahead and writing behind: order, bounds, errors, and no thread left over."""

import threading
import time

import pytest

from stm_core.engine.threads import WriteBehind, read_ahead


def test_items_come_in_order():
    assert list(read_ahead(iter(range(50)), depth=3)) == list(range(50))


def test_no_more_than_depth_items_wait():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            yield n

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 0
    time.sleep(0.1)
    assert len(made) <= 5  # given out, two waiting, one at the door, one under way
    ahead.close()


def test_an_error_comes_at_its_place():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_closing_ends_the_thread_and_the_source():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    ahead = read_ahead(items())
    next(ahead)
    ahead.close()
    assert closed.is_set()
    assert threading.active_count() == before


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
