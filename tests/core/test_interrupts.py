"""What a library makes of an interrupt, while it loads."""

import os
import signal
import threading

import pytest

from src.core.interrupts import interrupts_kept


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def lose(number):
    """As torch's C++ does: the interrupt is dropped, and another error raised."""
    came = False
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        came = True
    raise ValueError(f"could not determine the shape; interrupted: {came}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_is_lost_is_one_again(number):
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        lose(number)


def test_an_error_of_its_own_stays():
    with pytest.raises(ValueError, match="no such file"), interrupts_kept():
        raise ValueError("no such file")


def test_a_handler_that_only_takes_note_interrupts_nothing():
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    with pytest.raises(ValueError, match="interrupted: False"), interrupts_kept():
        lose(signal.SIGTERM)
    assert asked == [True]


def test_the_handlers_are_those_from_before_and_one_that_ignores_goes_on():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_kept():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_another_thread_changes_no_handler():
    found = []

    def load():
        with interrupts_kept():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
