"""What a run of the upscaler says of itself."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class UpscaleReport:
    """What a run did. frames: in the output; computed: through the network, since others repeat the
    one before.

    resumed: frames that an earlier run had finished. damaged: how the source broke off, None where
    it is whole. lost: tracks that the container does not hold. seconds: of wall time, loading
    included. sha256: of the file as published, "" for pictures. builds: what computed each pass.
    refined: by what, "" where by nothing. manifest: the file beside it, None for pictures.
    registered: what is written down of its watermark and fingerprint.
    """

    target: Path
    width: int
    height: int
    frames: int = 0
    computed: int = 0
    shots: int = 0
    resumed: int = 0
    seconds: float = 0.0
    damaged: str | None = None
    lost: list[str] = field(default_factory=list)
    sha256: str = ""
    builds: tuple[str, ...] = ()
    refined: str = ""
    manifest: Path | None = None
    registered: dict[str, str] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Frames a second of this run."""
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0
