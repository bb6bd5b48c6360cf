"""Loading a pipeline before the first job needs it."""

from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import REPOSITORY
from src.core.request import Request
from src.engine.generate import plans_for, prepare
from src.engine.session import Sessions

MODES = ("baseline", "optimized")
SAMPLE = REPOSITORY / "data" / "samples" / "sample_image_1.png"


def warm_up(mode: str, device: str, hardware: Hardware, sessions: Sessions) -> None:
    """Load what a plain request of this mode would load. Raises BadInputError for an unknown mode."""
    if mode not in MODES:
        raise BadInputError(f"NEWSREEL_WARM is {mode!r}; it must be one of: {', '.join(MODES)}")
    request = Request(input_image=SAMPLE, prompt="warm up", mode=mode, device=device)
    prepared = prepare(request)
    plans = plans_for(prepared, hardware)
    sessions.opener(prepared.folder)(plans[0]).load()
