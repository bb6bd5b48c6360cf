"""What cannot be done with a job."""

from src.core.errors import BadInputError, NewsreelError


class UnknownJobError(BadInputError):
    """There is no job with this id, or it is not the caller's."""

    http_status = 404


class WrongStateError(BadInputError):
    """The job is in a state in which this cannot be done."""

    http_status = 409


class LostLeaseError(NewsreelError):
    """The worker's lease has run out and the job is somebody else's, or done, or gone."""

    http_status = 409
