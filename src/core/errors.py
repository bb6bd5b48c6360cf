"""Every error Newsreel raises on purpose; each class knows its exit code and HTTP status.

    NewsreelError             exit 1    HTTP 500   a bug, or something nobody foresaw
    ├── BadInputError         exit 2    HTTP 422   what was asked cannot be done as asked
    │   ├── MissingFileError  exit 2    HTTP 404   a named file, folder or adapter is not there
    │   └── SwitchError       exit 2    HTTP 422   what a profile switches on does not work here
    ├── MissingWeightsError   exit 3    HTTP 503   weights or data must be fetched first
    ├── OutOfMemoryError      exit 4    HTTP 503   no plan fits, after every fallback
    ├── LostProcessError      exit 4    HTTP 503   a process that computed a part of the clip ended
    ├── PartialFailureError   exit 5    HTTP 500   some jobs of a batch failed
    ├── OutputError           exit 6    HTTP 507   disk full, or the output is not writable
    ├── NotFiniteError        exit 7    HTTP 500   a clip, a weight or a score is not a number
    │   └── DivergedError     exit 7    HTTP 500   training produced a loss that is not a number
    └── CancelledError        exit 130  HTTP 409   the person or the service stopped the run

The message is one sentence: what, where, what would be right.
"""


class NewsreelError(Exception):
    """Base of the tree; the message is what the person reads."""

    exit_code = 1
    http_status = 500


class BadInputError(NewsreelError):
    """The request breaks a rule; the message names the nearest thing that works."""

    exit_code = 2
    http_status = 422


class MissingFileError(BadInputError):
    """A file, folder or adapter that the request names does not exist."""

    http_status = 404


class SwitchError(BadInputError):
    """What a profile switches on does not work here; the run goes on without it.

    switch: "compile", "quantize", "attention" or "cache".
    """

    def __init__(self, switch: str, message: str) -> None:
        super().__init__(message)
        self.switch = switch


class MissingWeightsError(NewsreelError):
    """Weights or data must be fetched first; the message gives the command and the size."""

    exit_code = 3
    http_status = 503


class OutOfMemoryError(NewsreelError):
    """Memory ran out on every plan that was tried."""

    exit_code = 4
    http_status = 503


class LostProcessError(NewsreelError):
    """One of the processes that make a clip together ended, or does not answer any more."""

    exit_code = 4
    http_status = 503


class PartialFailureError(NewsreelError):
    """Some jobs of a batch failed; the others finished."""

    exit_code = 5


class OutputError(NewsreelError):
    """The disk is full or the output cannot be written; nothing half-written is left."""

    exit_code = 6
    http_status = 507


class NotFiniteError(NewsreelError):
    """Numbers are not finite (NaN or infinity); the message names the step and the likely cause."""

    exit_code = 7


class DivergedError(NotFiniteError):
    """Training diverged; the last good checkpoint is kept."""


class CancelledError(NewsreelError):
    """The run was cancelled or interrupted; nothing is left behind."""

    exit_code = 130
    http_status = 409
