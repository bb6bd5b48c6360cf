"""What does not go with several processes. No torch."""

from src.catalog.profiles import Profile
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.request import Request
from src.core.wording import counted

ALONE = "first_block"
"""The step cache that decides from all tokens, of which a process among several has a share."""
RESIDENT = ("none", "text", "model")
"""Ways of offload that leave the transformer on the device while it denoises."""


def check_gpus(request: Request, hardware: Hardware) -> None:
    """Refuse more devices than there are, and switches that do not go with several processes."""
    gpus, cache = request.gpus, request.cache_name
    if gpus == 1:
        return
    if hardware.held and gpus > hardware.held:
        raise BadInputError(
            f"--gpus {gpus}: this worker holds {counted(hardware.held, 'device')} for a clip; ask "
            "for at most that"
        )
    if hardware.device == "cuda" and gpus > hardware.count:
        raise BadInputError(
            f"--gpus {gpus}: this machine has {counted(hardware.count, 'GPU')}; give at most that"
        )
    if cache == ALONE:
        raise BadInputError(
            f"--cache {cache} does not go with --gpus {gpus}: each process would decide by its own "
            "tokens what to skip; take magcache, teacache, taylorseer or pyramid"
        )
    if request.offload not in ("auto", *RESIDENT):
        raise BadInputError(
            f"--offload {request.offload} does not go with --gpus {gpus}, where each GPU holds the "
            "transformer while it denoises; take none, text or model"
        )


def shareable(profile: Profile, request: Request) -> bool:
    """Whether as many processes as asked for can run it."""
    return request.gpus == 1 or profile.offload in RESIDENT


def check_profile(profile: Profile, request: Request) -> None:
    """Raise BadInputError for a profile, asked for by name, that several processes cannot run."""
    if not shareable(profile, request):
        raise BadInputError(
            f"--profile {profile.name} does not go with --gpus {request.gpus}: it streams the "
            "transformer; take auto, or add --offload text"
        )


def left_out(profile: Profile, request: Request) -> dict[str, object]:
    """What of a profile several processes go without."""
    alone = request.gpus > 1 and profile.cache == ALONE
    return {"cache": "none", "cache_threshold": 0.0} if alone else {}
