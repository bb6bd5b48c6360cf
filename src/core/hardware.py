"""What the planner knows of the machine; filled by `src.engine.probe`, or by hand in tests."""

from src.core.config import Config


class Hardware(Config):
    """One machine as the planner sees it.

    device: "cuda" or "cpu". name: as the driver or the kernel calls it.
    memory, free_memory: bytes of device memory (CUDA) or of what this process may use (CPU, cgroups counted).
    capability: CUDA compute capability, (0, 0) on a CPU. bf16: the device multiplies bfloat16
    natively (on a CPU: by AMX, several times as fast as float32; AVX-512 alone gains nothing).
    compiler: a C++ compiler is there, without which torch.compile does not work.
    """

    device: str
    name: str
    memory: int
    free_memory: int
    cpu_count: int = 1
    capability: tuple[int, int] = (0, 0)
    bf16: bool = False
    compiler: bool = False
