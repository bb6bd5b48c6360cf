"""Which switch of a plan an error comes from, so that the run can go on without it.

A switch is "memory", "compile", "quantize", "attention" or "cache"; "memory" stands for the plan as
a whole.
"""

from collections.abc import Iterator
from pathlib import Path

from src.core.errors import NewsreelError, SwitchError
from src.core.plan import Plan
from src.pipelines.memory import is_out_of_memory

COMPILER_PACKAGES = ("torch._dynamo", "torch._inductor", "torch._functorch", "triton")
COMPILER_FILES = ("/_dynamo/", "/_inductor/", "/triton/", "torchinductor_")
KERNEL_SIGNS = (
    "No available kernel",
    "CUDNN_STATUS",
    "cuDNN",
    "no kernel image",
    "scaled_dot_product",
)
KERNEL_FILES = ("/sageattention/", "/flash_attn_interface")
CACHE_FILES = (
    "first_block_cache", "taylorseer_cache", "pyramid_attention_broadcast", "step_skipping",
)  # fmt: skip


def failing_switch(error: BaseException, plan: Plan) -> str | None:
    """The switch that is on in `plan` and to which `error` belongs; None for an error of another
    kind.
    """
    if is_out_of_memory(error):
        return "memory"
    if isinstance(error, SwitchError):
        return error.switch
    if isinstance(error, NewsreelError) or not isinstance(error, Exception):
        return None
    return next((switch for switch in _suspects(error) if is_on(plan, switch)), None)


def is_on(plan: Plan, switch: str) -> bool:
    """Whether a plan uses a switch."""
    key = plan.session
    return {
        "compile": key.compile, "quantize": key.quantize != "none",
        "attention": key.attention != "auto", "cache": plan.cache.name != "none",
    }[switch]  # fmt: skip


def _suspects(error: Exception) -> Iterator[str]:
    files, chain = list(_files(error)), list(_chain(error))
    if any("/torchao/" in file for file in files):
        yield "quantize"
    if any(sign in file for file in files for sign in KERNEL_FILES):
        yield "attention"  # before what was compiled around it
    if any(_from_compiler(link) for link in chain) or any(
        sign in file for file in files for sign in COMPILER_FILES
    ):
        yield "compile"
    if any(sign in str(link) for link in chain for sign in KERNEL_SIGNS):
        yield "attention"
    if any(sign in file for file in files for sign in CACHE_FILES):
        yield "cache"
    if any(isinstance(link, ImportError) for link in chain):
        yield from ("quantize", "compile")


def _from_compiler(error: BaseException) -> bool:
    return any(kind.__module__.startswith(COMPILER_PACKAGES) for kind in type(error).__mro__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _files(error: BaseException) -> Iterator[str]:
    """The files that the error, or what caused it, went through."""
    for link in _chain(error):
        trace = link.__traceback__
        while trace is not None:
            yield Path(trace.tb_frame.f_code.co_filename).as_posix()
            trace = trace.tb_next


def first_line(error: BaseException) -> str:
    """What the error says, in one line of at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [
        type(error).__name__
    ]
    return lines[0][:160]
