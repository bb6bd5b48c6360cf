"""What a profile needs, from a model's counted figures: bytes on the GPU, and of the machine's own
memory.
"""

from src.catalog.profiles import Profile
from src.catalog.spec import Memory, ModelSpec
from src.pipelines.families import family_of
from src.pipelines.family import Role, parts_of

RESERVE_BYTES = 1_000_000_000
RESERVE_SHARE = 0.05
"""Kept free: cuDNN's and cuBLAS's workspaces, and what fragmentation of the activations wastes."""
LARGEST_LAYER = 300_000_000
HOST_RESERVE = 2_000_000_000
CACHED = {"none": 0, "first_block": 4, "magcache": 2, "teacache": 2, "pyramid": 1, "taylorseer": 4}
"""Tensors as large as a layer's tokens that a step cache keeps: of the model; for the last two, of
each block.
"""


def counted_bytes(
    profile: Profile, spec: ModelSpec, num_frames: int | None = None, width: int = 1
) -> int:
    """Peak bytes of live tensors on the device; tiling must be settled.

    num_frames: of the clip, the model's own count unless given. width: 2 for float32, 1 for 16 bit.
    """
    return sum(_peak(profile, spec, num_frames, width))


def needed_bytes(
    profile: Profile, spec: ModelSpec, num_frames: int | None = None, width: int = 1
) -> int:
    """What must be free for the profile: the counted peak and the reserve."""
    weights, activations = _peak(profile, spec, num_frames, width)
    reserve = RESERVE_BYTES + round(RESERVE_SHARE * activations)
    return weights + activations + reserve if weights else 0


def _peak(profile: Profile, spec: ModelSpec, num_frames: int | None, width: int) -> tuple[int, int]:
    """Weights and activations at the stage that needs most; a peak measured on a card counts where
    it is larger.
    """
    longer = max(1.0, (num_frames or 0) / spec.defaults.num_frames)
    held, moments = _stages(profile, spec, longer)
    weights, activations = max(moments, key=sum)
    weights, activations = round(width * (held + weights)), round(width * activations)
    usual = longer == 1 and width == 1
    measured = spec.memory.measured.get(profile.name, 0) if usual else 0
    return weights, max(activations, measured - weights)


def resident_bytes(profile: Profile, spec: ModelSpec) -> int:
    """Weights that stay on the device from load to end."""
    return _stages(profile, spec, 1.0)[0]


def denoiser_bytes(spec: ModelSpec) -> int:
    """Weights of all that denoises, in 16 bit."""
    return sum(_weights(spec, "denoiser"))


def _weights(spec: ModelSpec, role: Role) -> list[int]:
    """Weights of each part that does one thing; 0 where none are known."""
    return [spec.memory.weights.get(part.name, 0) for part in parts_of(family_of(spec), role)]


def _streams(spec: ModelSpec, role: Role) -> int:
    """What of a part of this role is there at once while it streams: one part at a time."""
    return max(
        (spec.memory.streams.get(part.name, 0) for part in parts_of(family_of(spec), role)),
        default=0,
    )


def _stages(
    profile: Profile, spec: ModelSpec, longer: float
) -> tuple[int, list[tuple[float, float]]]:
    """Weights that stay on the device throughout, and for each stage further weights and
    activations.
    """
    memory, vae = spec.memory, sum(_weights(spec, "vae"))
    encoders = sum(_weights(spec, "text")) + sum(_weights(spec, "image"))
    transformer = denoiser_bytes(spec) - (
        memory.quantizable // 2 if profile.quantize != "none" else 0
    )
    text, image = memory.encode_text, memory.encode_image
    denoise = longer * (memory.denoise + _cached(profile, memory))
    decode = _decode(profile, memory, longer)
    if profile.offload == "none":
        return encoders + transformer + vae, [(0, text), (0, image), (0, denoise), (0, decode)]
    if profile.offload == "sequential":
        return LARGEST_LAYER, [(0, text), (0, image), (0, denoise), (0, decode)]
    if profile.vae == "stock":  # accelerate keeps T5 until the transformer comes
        one = max(_weights(spec, "denoiser"))
        return 0, [(encoders + vae, image), (one, denoise), (vae, decode)]
    here = {"text": transformer, "model": 0}.get(profile.offload, 0)
    while_denoising = {"text": 0, "model": transformer}.get(
        profile.offload, _streams(spec, "denoiser")
    )
    stages = [(_streams(spec, "text"), text), (0, image), (while_denoising, denoise), (0, decode)]
    return vae + here, stages


def _cached(profile: Profile, memory: Memory) -> int:
    blocks = memory.layers if profile.cache in ("pyramid", "taylorseer") else 1
    return CACHED[profile.cache] * blocks * memory.hidden


def _decode(profile: Profile, memory: Memory, longer: float) -> float:
    if profile.tiling:
        return longer * memory.decode_tiled
    return memory.decode_stock if profile.vae == "stock" else memory.decode


def host_bytes(profile: Profile, spec: ModelSpec, as_stored: bool, width: int = 1) -> int:
    """The machine's own memory that the profile cannot do without.

    as_stored: weights run in the dtype of their files. They are mapped from there, and the system
    may drop and read them again; pinned blocks, and weights in another dtype, it may not. width: as
    of `counted_bytes`.
    """
    pinned = denoiser_bytes(spec) if profile.offload == "group" else 0
    copied = 0 if as_stored else sum(spec.memory.weights.values())
    return HOST_RESERVE + width * max(pinned, copied)
