import threading

import pytest

from src.database.group_commit import GroupCommit


def _add_all(together, items):
    """Each from a thread of its own; returns the errors by item."""
    errors = {}

    def add(item):
        try:
            together.add(item)
        except ValueError as error:
            errors[item] = str(error)

    threads = [threading.Thread(target=add, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    return threads, errors


def _first_at_work(write, begun):
    """A group commit whose first writer, the thread of item 0, has begun to write."""
    together = GroupCommit(write)
    first, _ = _add_all(together, [0])
    assert begun.wait(10)
    return together, first


def test_what_comes_during_a_write_is_written_at_once_after_it():
    lots, begun, go = [], threading.Event(), threading.Event()

    def write(waiting):
        lots.append(waiting())
        begun.set()
        assert go.wait(10)

    together, first = _first_at_work(write, begun)
    others, _ = _add_all(together, range(1, 20))
    while len(together._waiting) < 19:
        pass
    go.set()
    for thread in first + others:
        thread.join(10)
    assert lots[0] == [0]
    assert sorted(lots[1]) == list(range(1, 20))
    assert len(lots) == 2


def test_an_error_reaches_everybody_of_its_lot_and_nobody_else():
    def write(waiting):
        if 3 in waiting():
            raise ValueError("no threes")

    together = GroupCommit(write)
    together.add(1)
    with pytest.raises(ValueError, match="no threes"):
        together.add(3)
    together.add(4)


def test_nothing_is_lost_or_written_twice_in_a_crowd():
    written = []
    together = GroupCommit(lambda waiting: written.extend(waiting()))
    threads, errors = _add_all(together, range(300))
    for thread in threads:
        thread.join(10)
    assert sorted(written) == list(range(300))
    assert errors == {}


def test_who_comes_while_the_lock_is_waited_for_is_of_the_same_lot():
    lots, begun, go = [], threading.Event(), threading.Event()

    def write(waiting):
        begun.set()
        assert go.wait(10)
        lots.append(waiting())

    together, first = _first_at_work(write, begun)
    others, _ = _add_all(together, range(1, 5))
    while len(together._waiting) < 5:
        pass
    go.set()
    for thread in first + others:
        thread.join(10)
    assert sorted(lots[0]) == list(range(5))
    assert len(lots) == 1


def test_a_write_that_fails_before_it_asks_fails_for_all_who_wait_and_the_next_goes_on():
    fails = iter([True, False])
    written = []

    def write(waiting):
        if next(fails):
            raise ValueError("locked")
        written.extend(waiting())

    together = GroupCommit(write)
    with pytest.raises(ValueError, match="locked"):
        together.add(1)
    together.add(2)
    assert written == [2]


def test_a_leader_that_is_interrupted_leaves_nobody_waiting():
    """As by Ctrl-C, in a program that stores jobs in its own main thread."""
    interrupted = iter([True, False])
    written = []

    def write(waiting):
        written.extend(waiting())
        if next(interrupted):
            raise KeyboardInterrupt

    together = GroupCommit(write)
    with pytest.raises(KeyboardInterrupt):
        together.add(1)
    threads, _ = _add_all(together, [2])
    threads[0].join(10)
    assert written == [1, 2]


def test_who_is_interrupted_while_waiting_leaves_the_line(monkeypatch):
    written, begun, go = [], threading.Event(), threading.Event()

    def write(waiting):
        written.extend(waiting())
        begun.set()
        assert go.wait(10)

    together, first = _first_at_work(write, begun)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            together.add(1)
    go.set()
    first[0].join(10)
    together.add(2)
    assert written == [0, 2]
