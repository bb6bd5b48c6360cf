"""How native frames become the delivered clip: the upscalers of a request, and their files."""

from src.catalog.spec import ModelSpec
from src.catalog.upscalers import WeightFile, find_preset
from src.core.errors import BadInputError
from src.core.option import listed
from src.core.parsing import parse_upscale
from src.core.plan import Size, Upscale
from src.core.request import Request
from src.engine.drafts import drafted
from src.upscaling.files import LANCZOS, delivery_files, preset_files

LARGEST = 16384


def delivery(request: Request, spec: ModelSpec) -> str:
    """How native becomes delivered; a size that no enlarging leads to is resampled."""
    size = spec.deliver(request.width, request.height)
    wanted = _named(spec.delivery if request.delivery == "auto" else request.delivery)
    return (
        LANCZOS if (size.width, size.height) <= (spec.native.width, spec.native.height) else wanted
    )


def _named(delivery: str) -> str:
    """As plans have it. Raises BadInputError for the name of no preset."""
    if delivery == LANCZOS:
        return LANCZOS
    upscaler, preset = find_preset(delivery, "--delivery", ("auto", LANCZOS))
    return upscaler.known_as(preset)


def upscale(request: Request, delivered: Size) -> Upscale | None:
    """What enlarges the delivered clip. Raises BadInputError where no upscaler does that, or where
    the clip would be larger than H.264 takes.
    """
    parsed = parse_upscale(request.upscale) if request.upscale else None
    if not parsed:
        return None
    scale, name = parsed
    upscaler, preset = find_preset(name, "the preset of --upscale")
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
    return Upscale(scale=scale, preset=upscaler.known_as(preset))


def upscaler_files(request: Request, spec: ModelSpec) -> list[WeightFile]:
    """The weight files that delivery and upscaling need. Raises MissingWeightsError where one is
    not here, BadInputError for a restricted licence that the request does not accept.
    """
    spec = drafted(spec, request.draft)
    size = spec.deliver(request.width, request.height)
    further, way = upscale(request, size), delivery(request, spec)
    for name in {way, *([further.preset] if further else [])} - {LANCZOS}:
        find_preset(name)[0].check_licence(request.accept_licence)
    files = delivery_files(way, spec.native, size)
    return files + (preset_files(further.preset, further.scale) if further else [])
