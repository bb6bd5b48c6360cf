"""What a machine lacks for what a request or a profile asks of it. No torch."""

from src.catalog.profiles import Profile
from src.core.errors import BadInputError, MissingWeightsError
from src.core.hardware import Hardware
from src.core.request import Request
from src.core.wording import counted
from src.pipelines.attention_kernels import OPTIONAL

COMPILES_FROM = 7.0  # Triton's least CUDA capability
FP8_FROM, FP8_FROM_AMD = 8.9, 9.4  # the least CUDA capability that multiplies fp8; MI300's
QUANTIZER = "torchao: pip install -r requirements-quantize.txt"
ALONE = "first_block"
"""The step cache that decides from all tokens, of which a process among several has a share."""
RESIDENT = ("none", "text", "model")
"""Ways of offload that leave the transformer on the device while it denoises."""


def check_switches(request: Request, hardware: Hardware) -> None:
    """Refuse what this machine lacks before anything loads. Raises BadInputError or
    MissingWeightsError.
    """
    if request.quantize not in (None, "none") and not hardware.quantizer:
        raise MissingWeightsError(f"--quantize {request.quantize} needs {QUANTIZER}")
    if request.quantize == "fp8_dynamic":
        _check_fp8_products(request, hardware)
    _check_attention(request, hardware)
    if request.compile and request.offload == "sequential":
        raise BadInputError(
            "--compile does not go with --offload sequential, which moves single layers; take group"
        )
    _check_gpus(request, hardware)


def _check_attention(request: Request, hardware: Hardware) -> None:
    name = request.attention
    if name == "cudnn" and hardware.vendor == "amd":
        raise BadInputError(
            f"--attention cudnn needs an NVIDIA card; {hardware.name} has flash, efficient and math"
        )
    if name in ("cudnn", "efficient") and hardware.device == "cpu":
        raise BadInputError(
            f"--attention {name} is a CUDA kernel; on a CPU there are flash and math"
        )
    if name in OPTIONAL and (lacks := machine_lacks(name, hardware)):
        raise BadInputError(f"--attention {name} {lacks}")
    if name in OPTIONAL and (lacks := package_lacks(name, hardware)):
        raise MissingWeightsError(f"--attention {name} {lacks}")


def machine_lacks(name: str, hardware: Hardware) -> str:
    """What keeps an optional kernel from running here, as the end of "--attention NAME ..."; "" for
    nothing. Its package is `package_lacks`.
    """
    kernel = OPTIONAL[name]
    if hardware.device == "cpu":
        return "is a CUDA kernel; on a CPU there are flash and math"
    if hardware.vendor == "amd" or hardware.capability not in kernel.cards:
        return (
            f"is built for NVIDIA cards of CUDA capability {kernel.in_words}, not for "
            f"{hardware.name}; flash and efficient are for every card"
        )
    return ""


def package_lacks(name: str, hardware: Hardware) -> str:
    """The same of its package."""
    if name in hardware.kernels:
        return ""
    kernel = OPTIONAL[name]
    version = ".".join(map(str, kernel.least))
    return (
        f"needs the package {kernel.package}, {version} or later, which is built from its source: "
        "docs/speed.md, Attention kernels"
    )


def _check_fp8_products(request: Request, hardware: Hardware) -> None:
    """What torchao 0.18 asserts of a scale a row, before anything loads."""
    if capability(hardware) < (FP8_FROM_AMD if hardware.vendor == "amd" else FP8_FROM):
        raise BadInputError(
            f"--quantize fp8_dynamic multiplies in fp8, which takes CUDA capability {FP8_FROM} "
            f"(Ada, Hopper or later; of AMD MI300), not {hardware.name}; int8 and fp8 are for "
            "every card"
        )
    if request.dtype not in ("auto", "bfloat16"):
        raise BadInputError(
            f"--quantize fp8_dynamic takes bfloat16, not --dtype {request.dtype}; leave --dtype out"
        )


def can_compile(hardware: Hardware) -> bool:
    """Whether torch.compile has what it needs, and the card is one that Triton knows."""
    return not compiling_lacks(hardware)


def compiling_lacks(hardware: Hardware) -> str:
    """What keeps torch.compile from working here, "" for nothing."""
    if not hardware.compiler:
        return hardware.compiler_lacks
    if hardware.device != "cpu" and capability(hardware) < COMPILES_FROM:
        return f"CUDA capability {COMPILES_FROM}; {hardware.name} is older"
    return ""


def capability(hardware: Hardware) -> float:
    """CUDA compute capability as one number, 8.6 for (8, 6)."""
    major, minor = hardware.capability
    return major + minor / 10


def profile_lacks(profile: Profile, hardware: Hardware) -> str:
    """What the profile needs and this machine has not; "" where it applies."""
    if hardware.device not in profile.devices:
        needs = "a CUDA device" if profile.devices == ("cuda",) else " or ".join(profile.devices)
        return f"CUDA capability {profile.capability}" if profile.capability else needs
    if capability(hardware) < profile.capability:
        return f"CUDA capability {profile.capability}"
    return QUANTIZER if profile.quantize != "none" and not hardware.quantizer else ""


def _check_gpus(request: Request, hardware: Hardware) -> None:
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
