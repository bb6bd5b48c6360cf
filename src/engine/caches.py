"""Step caches as a flag names them."""

from src.core.errors import BadInputError
from src.pipelines.cache_fit import FITTED

# name: usual threshold or interval; 0 of the last two: as the model's calibration says
CACHES = {"none": 0.0, "first_block": 0.05, "taylorseer": 3.0, "pyramid": 2.0,
          "magcache": 0.0, "teacache": 0.0}  # fmt: skip
# steps of which a cache can skip one
FEWEST = {"none": 1, "first_block": 2, "taylorseer": 3, "pyramid": 2, "magcache": 3, "teacache": 3}
INTERVALS = ("taylorseer", "pyramid")  # these count steps; the others compare a residual


def parse_cache(text: str) -> tuple[str, float]:
    """`first_block=0.08` as name and threshold; raises BadInputError with the list of
    known caches.
    """
    name, _, threshold = text.partition("=")
    if name not in CACHES:
        raise BadInputError(f"unknown cache {name!r}; known: {', '.join(CACHES)}")
    try:
        number = float(threshold) if threshold else CACHES[name]
    except ValueError:
        raise BadInputError(
            f"--cache {text}: {threshold!r} is not a number; try {_example(name)}"
        ) from None
    # 1 computes every step
    if name in INTERVALS and not (number >= 2 and number == int(min(number, 1000))):
        raise BadInputError(
            f"--cache {text}: must be a whole number of steps from 2 to 1000; try {name}=3"
        )
    if not 0 <= number < float("inf"):
        raise BadInputError(f"--cache {text}: must be 0 or more; try {_example(name)}")
    if name in FITTED and threshold and not number:
        raise BadInputError(
            f"--cache {text}: must be above 0; {name} alone takes the calibration's threshold"
        )
    return name, number


def _example(name: str) -> str:
    """A threshold that this cache takes."""
    usual = 0.06 if name in FITTED else 0.08 if name == "first_block" else CACHES[name]
    return f"{name}={usual:g}"
