"""The attention kernel of a plan, where the model's own shape decides: whether an optional one
takes it, and which is fastest on it. Imports torch only to measure.
"""

from dataclasses import replace
from pathlib import Path

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Plan
from src.engine.machine import machine_lacks
from src.pipelines.attention_kernels import MEASURED, OPTIONAL
from src.pipelines.families import family_of, read_config
from src.pipelines.family import Attention

HALF = ("bfloat16", "float16")
MATRICES, SHARE = 3, 1 / 4
"""`math` on a CPU: how often the matrix of products is there at most, in float32, and of the free
memory what it may take.
"""


def with_kernels(
    plans: tuple[Plan, ...], spec: ModelSpec, folder: Path, hardware: Hardware
) -> tuple[Plan, ...]:
    """The plans, each with the kernel that runs in the place of `measured`.

    Raises BadInputError where the model's attention does not take the kernel that is asked for, or
    no kernel can be measured.
    """
    return tuple(_settled(plan, spec, folder, hardware) for plan in plans)


def _settled(plan: Plan, spec: ModelSpec, folder: Path, hardware: Hardware) -> Plan:
    name, dtype = plan.session.attention, plan.session.dtype
    if name != MEASURED and name not in OPTIONAL:
        return plan
    shape = _shape(plan, spec, folder)
    if name != MEASURED:
        if lacks := model_lacks(name, dtype, shape.head_dim):
            raise BadInputError(f"--attention {name} {lacks}")
        return plan
    from src.pipelines.attention_choice import fastest

    kernel = fastest(shape, dtype, hardware.device, exact_kernels(shape, dtype, hardware))
    session = plan.session.model_copy(update={"attention": kernel})
    return plan.model_copy(update={"session": session, "attention_measured": True})


def _shape(plan: Plan, spec: ModelSpec, folder: Path) -> Attention:
    """As one process computes it."""
    family = family_of(spec)
    shape = family.attention(folder, read_config, plan)
    if shape is None:
        raise BadInputError(
            f"--attention {plan.session.attention} does not apply to {spec.id}: the attention of "
            f"{family.title} takes no other kernel than torch's; leave it out"
        )
    share = plan.division.sequence if plan.division else 1
    return replace(shape, heads=shape.heads // share)


def exact_kernels(shape: Attention, dtype: str, hardware: Hardware) -> tuple[str, ...]:
    """Names of the kernels here that compute the same sums, and are not known to be slow: on a GPU
    `math` writes the whole matrix of products down, which for a clip's tokens is gigabytes. On a
    CPU it is among them where those fit well, which bounds its time too.
    """
    if hardware.device == "cpu":
        matrices = shape.heads * shape.tokens**2 * 4 * MATRICES
        return ("flash", "math") if matrices <= hardware.free_memory * SHARE else ("flash",)
    torch_s = (
        ("flash", "efficient") if hardware.vendor == "amd" else ("flash", "cudnn", "efficient")
    )
    return torch_s + tuple(
        name
        for name in hardware.kernels
        if OPTIONAL[name].exact
        and not machine_lacks(name, hardware)
        and not model_lacks(name, dtype, shape.head_dim)
    )


def model_lacks(name: str, dtype: str, head_dim: int) -> str:
    """What keeps an optional kernel from a model's numbers, as the end of a sentence that begins
    with its name; "" for nothing.
    """
    kernel = OPTIONAL[name]
    if dtype not in HALF:
        return f"takes bfloat16 or float16, not {dtype}; leave --dtype out"
    if head_dim > kernel.largest or head_dim % kernel.multiple:
        step = f" in multiples of {kernel.multiple}" if kernel.multiple > 1 else ""
        return (
            f"takes heads of at most {kernel.largest} numbers{step}, and this model's have "
            f"{head_dim}; take measured, or leave it out"
        )
    return ""
