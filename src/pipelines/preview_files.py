"""The file of a model's preview decoder: what it is of, whose weights it belongs to. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from src.core.config import Config, validate
from src.core.errors import BadInputError
from src.core.files import sha256_of
from src.pipelines.locate import role_hash
from src.pipelines.tensor_files import read_tensor_file

FILE = "preview.safetensors"
"""Where it lies: in the model's folder."""
VAE = "newsreel_vae_sha256"


class PreviewForm(Config):
    """The sizes of a preview decoder.

    channels: of the latents. cell: pixels of a small frame that a latent cell is wide and high.
    frames: frames of the clip that a latent frame stands for; the first stands for one. width:
    channels inside. blocks: residual blocks.
    """

    channels: int
    cell: int
    frames: int
    width: int
    blocks: int

    @property
    def reach(self) -> int:
        """Latent frames before and after that a frame depends on."""
        return self.blocks if self.frames > 1 else 0


@dataclass(frozen=True)
class PreviewFile:
    """A decoder that may be used. sha256: of the file."""

    path: Path
    form: PreviewForm
    sha256: str


def how_to_train(model: str | Path) -> str:
    """The command that makes the file."""
    return f"train it in minutes: python -m src.train_preview --model {model}"


def read_preview(folder: Path) -> PreviewFile:
    """The preview decoder beside a model. Raises BadInputError with the command that makes it,
    where there is none, or one of another VAE."""
    path = folder / FILE
    if not path.is_file():
        raise BadInputError(
            f"a draft needs a preview decoder, and {folder} has none; {how_to_train(folder)}"
        )
    about = dict(read_tensor_file(path).metadata)
    if about.pop(VAE, None) != role_hash(folder, "vae"):
        raise BadInputError(f"{path} belongs to another VAE; {how_to_train(folder)}")
    said = {name: about.get(f"newsreel_{name}", "") for name in PreviewForm.model_fields}
    return PreviewFile(path, validate(said, PreviewForm, str(path)), sha256_of(path))
