"""How native frames become the delivered clip: the upscalers of a request."""

from src.catalog.spec import ModelSpec
from src.catalog.upscalers import UpscalerSpec, find_preset
from src.core.errors import BadInputError
from src.core.option import listed
from src.core.plan import Size, Upscale
from src.core.request import Request
from src.upscaling.files import LANCZOS, Enlargement

LARGEST = 16384


def asked_enlargement(request: Request, spec: ModelSpec) -> Enlargement:
    """What a request asks of upscalers. spec: of a draft where it is one.

    Raises BadInputError where no upscaler does that, for a restricted licence that the request does
    not accept, and where the clip would be larger than H.264 takes.
    """
    delivered = spec.deliver(request.width, request.height)
    way = spec.delivery if request.delivery == "auto" else request.delivery
    towards = None if way == LANCZOS else find_preset(way, "--delivery", ("auto", LANCZOS))
    asked = request.enlarging
    further = find_preset(asked[1], "the preset of --upscale") if asked else None
    name, scale = _delivery(towards, spec.native, delivered, request.accept_licence)
    return Enlargement(spec.native, delivered, name, scale, _upscale(further, request, delivered))


def _delivery(
    found: tuple[UpscalerSpec, str] | None, native: Size, delivered: Size, accepted: bool
) -> tuple[str, int]:
    """What brings native to delivered, and its scale; a size that no enlarging leads to is
    resampled.
    """
    if found is None or (delivered.width, delivered.height) <= (native.width, native.height):
        return LANCZOS, 1
    upscaler, preset = found
    upscaler.check_licence(accepted)
    return upscaler.known_as(preset), upscaler.scale_towards(preset, native, delivered)


def _upscale(
    found: tuple[UpscalerSpec, str] | None, request: Request, delivered: Size
) -> Upscale | None:
    """What enlarges the delivered clip."""
    if found is None or request.enlarging is None:
        return None
    (upscaler, preset), (scale, _) = found, request.enlarging
    if scale not in upscaler.scales(preset):
        known = listed(tuple(f"{each}x" for each in upscaler.scales(preset)))
        raise BadInputError(
            f"--upscale is {request.upscale}; preset {preset} of {upscaler.id} makes {known}"
        )
    if max(delivered.width, delivered.height) * scale > LARGEST:
        raise BadInputError(
            f"--upscale {request.upscale} of {delivered} is larger than {LARGEST} pixels a side, "
            "the most H.264 takes"
        )
    upscaler.check_licence(request.accept_licence)
    return Upscale(scale=scale, preset=upscaler.known_as(preset))
