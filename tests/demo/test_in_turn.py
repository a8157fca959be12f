import threading

from demo.engine.in_turn import InTurn


def test_those_who_wait_go_in_the_order_in_which_they_came():
    lock, order = InTurn(), []

    def come(name: int) -> None:
        with lock:
            order.append(name)

    threads = []
    with lock:
        for name in range(5):
            threads.append(threading.Thread(target=come, args=(name,)))
            threads[-1].start()
            while lock.waiting <= name:
                pass
        order.append("first")
    for thread in threads:
        thread.join(60)
    assert order == ["first", 0, 1, 2, 3, 4]


def test_an_error_inside_lets_the_next_one_in():
    lock = InTurn()
    for _ in range(2):
        try:
            with lock:
                raise ValueError
        except ValueError:
            continue
    assert lock.waiting == 0
