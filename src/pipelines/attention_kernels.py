"""What is known of the attention kernels that are packages of their own. Imports neither torch nor
the packages.

sage: SageAttention 2 (arXiv:2411.10958): products of queries and keys in int8, of probabilities and
values in fp16 or fp8; approximate. flash3: FlashAttention 3 (arXiv:2407.08608), the same sums as
torch's kernels, for Hopper. Both take neither masks nor dropout. Limits are those that
thu-ml/SageAttention `sageattention/core.py` (2.2.0, commit 0116592) and Dao-AILab/flash-attention
`hopper/` (3.0.0, commit 0251105) check themselves. Kernels that the hub offers under these names
(`kernels`) are fetched and executed at run time, and are not used.
"""

import re
from dataclasses import dataclass
from importlib import metadata

from src.core.toolchain import has_package

MEASURED = "measured"
"""In the place of a kernel's name: the fastest of those that compute the same sums."""


@dataclass(frozen=True)
class OptionalKernel:
    """A kernel of a package. module: its name in Python. package: as pip names it, with the least
    version. cards: the CUDA capabilities that it is built for, in words as well. largest: numbers
    in a head at most, of which there is a multiple of `multiple`. exact: whether its sums are
    torch's, to rounding.
    """

    name: str
    module: str
    package: str
    least: tuple[int, ...]
    cards: tuple[tuple[int, int], ...]
    in_words: str
    largest: int
    multiple: int
    exact: bool


OPTIONAL = {
    kernel.name: kernel
    for kernel in (
        OptionalKernel(
            "flash3", "flash_attn_interface", "flash_attn_3", (3,), ((9, 0),), "9.0 (Hopper)",
            largest=256, multiple=8, exact=True,
        ),
        OptionalKernel(
            "sage", "sageattention", "sageattention", (2, 1, 1),
            ((8, 0), (8, 6), (8, 9), (9, 0), (12, 0)), "8.0, 8.6, 8.9, 9.0 or 12.0",
            largest=128, multiple=1, exact=False,
        ),
    )
}  # fmt: skip


def installed_kernels() -> tuple[str, ...]:
    """Names of the kernels whose packages are here, new enough; nothing is imported."""
    return tuple(name for name, kernel in OPTIONAL.items() if _is_installed(kernel))


def version_of(package: str) -> str:
    """Of an installed package; "" where it does not say."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _is_installed(kernel: OptionalKernel) -> bool:
    version = tuple(map(int, re.findall(r"\d+", version_of(kernel.package))))
    return has_package(kernel.module) and version >= kernel.least
