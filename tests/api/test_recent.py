"""What is looked up again when it is old holds nobody up but the one who looks."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from src.api.recent import WORN, Recent
from tests.waiting import wait_until


class Look:
    """Counts, and takes as long as it is told to."""

    def __init__(self):
        self.count, self.begun, self.free = 0, threading.Event(), threading.Event()
        self.free.set()

    def __call__(self):
        self.begun.set()
        assert self.free.wait(60)
        self.count += 1
        return self.count


def test_many_that_come_first_wait_for_one_that_looks():
    look = Look()
    recent = Recent(look, 1000.0)
    look.free.clear()
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(recent.get) for _ in range(8)]
        assert look.begun.wait(60)
        assert not any(each.done() for each in found)
        look.free.set()
        assert {each.result(60) for each in found} == {1}
    assert look.count == 1


def test_who_finds_a_worn_value_waits_for_the_one_who_looks():
    look = Look()
    recent = Recent(look, 1000.0)
    assert recent.get() == 1
    recent._until -= 1000.0 + WORN * 1000.0 + 1.0
    look.begun.clear()
    look.free.clear()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(recent.get) for _ in range(2)]
        assert look.begun.wait(60) and not any(each.done() for each in both)
        look.free.set()
        assert [each.result(60) for each in both] == [2, 2]


def test_later_ones_go_by_what_was_found_before_while_one_looks_again():
    look = Look()
    recent = Recent(look, 1000.0)
    assert recent.get() == 1
    recent._until -= 1001.0
    look.begun.clear()
    look.free.clear()
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(recent.get)
        assert look.begun.wait(60)
        assert [recent.get() for _ in range(3)] == [1, 1, 1]
        look.free.set()
        assert again.result(60) == 2


def test_what_is_young_is_not_looked_up():
    look = Look()
    recent = Recent(look, 1000.0)
    assert [recent.get() for _ in range(3)] == [1, 1, 1]


def test_what_takes_long_is_looked_up_less_often():
    look = Look()
    recent = Recent(lambda: (time.sleep(0.01), look())[1], 0.0, share=1e-6)
    assert [recent.get() for _ in range(3)] == [1, 1, 1]


def test_who_looks_in_vain_hears_of_it_and_the_next_one_looks_again():
    answers = iter([ValueError("first"), 1, ValueError("later"), 2])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    recent = Recent(look, 0.0)
    with pytest.raises(ValueError, match="first"):
        recent.get()
    assert recent.get() == 1
    wait_until(recent._is_old)
    with pytest.raises(ValueError, match="later"):
        recent.get()
    assert recent.get() == 2
