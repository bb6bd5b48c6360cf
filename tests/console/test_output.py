"""How a command ends when a signal comes, whatever a library makes of it."""

import os
import signal

import pytest

from src.console.output import command
from src.core.errors import BadInputError, OutputError


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(body, capsys):
    """The exit code and what was said."""
    with pytest.raises(SystemExit) as stopped, command():
        body()
    return stopped.value.code, capsys.readouterr().err


def loses(number):
    """A library that catches the interrupt in C and raises what it knows."""
    lost = False
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        lost = True
    assert lost
    raise BadInputError("the storage has no shape")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_lost_is_one(number, capsys):
    code, said = ended(lambda: loses(number), capsys)
    assert (code, said) == (130, "error: interrupted; nothing was written\n")


def test_an_error_without_a_signal_is_itself(capsys):
    def body():
        raise BadInputError("no such file")

    assert ended(body, capsys) == (2, "error: no such file\n")


def test_an_error_of_what_saves_after_an_interrupt_is_told(capsys):
    def body():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise OutputError("the disk is full") from OSError()

    code, said = ended(body, capsys)
    assert (code, said) == (OutputError.exit_code, "error: the disk is full\n")


def test_a_job_in_the_background_goes_on_ignoring_the_interrupt():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with command():
        os.kill(os.getpid(), signal.SIGINT)
