"""What the planner knows of the machine; filled by `src.engine.probe`, or by hand in tests."""

from src.core.config import Config


class Hardware(Config):
    """One machine as the planner sees it.

    device: "cuda" or "cpu". name: as the driver or the kernel calls it.
    memory, free_memory: bytes of device memory (CUDA) or of what this process may use (CPU, cgroups
    counted). capability: CUDA compute capability, (0, 0) on a CPU. bf16: the device multiplies
    bfloat16 natively (on a CPU: by AMX, several times as fast as float32; AVX-512 alone gains
    nothing).
    compiler: all is there that torch.compile needs, else compiler_lacks says what is not.
    quantizer: torchao is there. vendor: of the GPU, "nvidia", "amd", or "apple", whose GPU is not
    used; "" without one.
    kernels: attention kernels whose packages are there, by name.
    count: devices of this kind that are visible here; 1 on a CPU. held: of them, what a worker of
    the service holds for one clip (on a CPU, processes); 0 for a command, which takes any.
    host_memory, free_host_memory: bytes of the machine itself beside a GPU, 0 where that is not
    known or on a CPU.
    """

    device: str
    name: str
    memory: int
    free_memory: int
    cpu_count: int = 1
    capability: tuple[int, int] = (0, 0)
    bf16: bool = False
    compiler: bool = False
    compiler_lacks: str = "a C++ compiler: apt-get install g++ python3-dev"
    quantizer: bool = False
    kernels: tuple[str, ...] = ()
    vendor: str = ""
    count: int = 1
    held: int = 0
    host_memory: int = 0
    free_host_memory: int = 0

    @property
    def unoccupied(self) -> "Hardware":
        """The same machine with all of its memory free."""
        return self.model_copy(
            update={"free_memory": self.memory, "free_host_memory": self.host_memory}
        )
