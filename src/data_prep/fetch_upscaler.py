"""Fetch the published weights of an upscaler, and write them as its spec wants them.

    python -m src.fetch_upscaler star --accept-licence
    python -m src.fetch_upscaler star --accept-licence --part heavy --input light_deg.pt

Pickles are read once, without running anything that they hold, and become safetensors.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from src.console.options import QUIET, make_app, switch, value
from src.console.output import command
from src.core.errors import BadInputError, MissingFileError, MissingWeightsError
from src.core.output_errors import output_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from src.data_prep.fetch import DownloadLedger, Fetcher

OPTIONS: dict[str, Any] = {
    "upscaler": Annotated[str | None, typer.Argument(help="Which: star.")],
    "part": value(list[str], "A part of it; repeat for more [all that a usual run needs]."),
    "input": value(Path, "What you have of the part: a file as published, or a folder of them."),
    "output": value(Path, "Folder to write to [the upscaler's own in checkpoints/]."),
    "accept_licence": switch("Take the weights' licences.", "--accept-licence"),
    "quiet": QUIET,
}


@dataclass(frozen=True)
class UpscalerDownload:
    """Files of an upscaler that come from one place.

    repository: on the hub. files: in it. make: writes the part's files into a folder, from a folder
    with the last names of `files`. made: those files, as the spec knows them. usual: whether a run
    needs them whatever is asked.
    """

    repository: str
    files: tuple[str, ...]
    make: Callable[[Path, Path], None]
    made: tuple[str, ...]
    usual: bool = True


@dataclass(frozen=True)
class Published:
    """parts: by name. licence: one sentence, which must be accepted."""

    parts: dict[str, UpscalerDownload]
    licence: str


def _star() -> Published:
    from src.upscaling.star.published import TEXT, VAE, network, text, vae

    star, clip = "SherryX/STAR", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    svd = "stabilityai/stable-video-diffusion-img2vid"
    weights = "vae/diffusion_pytorch_model.fp16.safetensors"
    words = ("model.safetensors", "config.json", "vocab.json", "merges.txt")
    light, heavy = "light_deg", "heavy_deg"
    parts = {
        "light": UpscalerDownload(
            star, (f"I2VGen-XL-based/{light}.pt",), network(light), (f"{light}.safetensors",)
        ),
        "heavy": UpscalerDownload(
            star,
            (f"I2VGen-XL-based/{heavy}.pt",),
            network(heavy),
            (f"{heavy}.safetensors",),
            usual=False,
        ),
        "vae": UpscalerDownload(svd, ("vae/config.json", weights), vae, VAE),
        "text": UpscalerDownload(clip, words, text, TEXT),
    }
    licence = (
        "the network's and the text encoder's licence is MIT, the VAE's is the Stability AI "
        "Community License, which asks companies of a certain size for another one"
    )
    return Published(parts, licence)


UPSCALERS: dict[str, Callable[[], Published]] = {"star": _star}
"""What can be fetched, by the id of its spec."""


def fetch_upscaler_app() -> Any:
    """Exit 3 where the network does not give it."""
    return make_app(OPTIONS, "Fetch and convert the weights of an upscaler.", _main)


def _main(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar
    from src.core.progress import Progress
    from src.data_prep.fetch import Fetcher

    with command(quiet=values["quiet"]), ProgressBar(values["quiet"]) as bar:
        name = values["upscaler"]
        published = _published(name)
        if not values["accept_licence"]:
            raise BadInputError(f"{published.licence}; say --accept-licence to take {name}")
        folder = values["output"] or _folder(name)
        parts = _asked(published, values["part"])
        if values["input"] and len(parts) != 1:
            raise BadInputError("--input is of one part; name it as --part NAME")
        for part in parts:
            fetching = Fetching(folder, Fetcher(), lambda *d: bar(Progress("fetch", *d)))
            fetching.part(part, published.parts[part], values["input"])
        print(folder)


def _published(name: str | None) -> Published:
    if name not in UPSCALERS:
        known = ", ".join(UPSCALERS)
        raise BadInputError(f"{name or 'no upscaler'} is not one that can be fetched; name {known}")
    return UPSCALERS[name]()


def _folder(name: str) -> Path:
    from src.catalog.upscalers import find_upscaler
    from src.core.paths import REPOSITORY

    return REPOSITORY / find_upscaler(name).folder


def _asked(published: Published, parts: list[str] | None) -> list[str]:
    """The parts to fetch. Raises BadInputError with what there is."""
    unknown = [part for part in parts or [] if part not in published.parts]
    if unknown:
        known = ", ".join(published.parts)
        raise BadInputError(f"--part is {unknown[0]!r}; it must be one of: {known}")
    return list(parts or [name for name, part in published.parts.items() if part.usual])


class Fetching:
    """Parts into a folder: whole, checked and written down in its `hashes.json`, or not at all."""

    def __init__(self, folder: Path, fetcher: Fetcher, told: Callable[[int, int], None]) -> None:
        self.folder, self.fetcher, self.told = folder, fetcher, told

    def part(self, name: str, part: UpscalerDownload, given: Path | None = None) -> list[Path]:
        """The files of a part; what is there as it was written is left alone. given: a file or
        folder that a person has; else the hub's.

        Raises MissingWeightsError where the network does not give it, BadInputError for what is not
        the part, OutputError where the disk is full; nothing of the part is left then.
        """
        from src.data_prep.fetch import DownloadLedger

        ledger = DownloadLedger(self.folder)
        there = [self.folder / file for file in part.made]
        if given is None and all(ledger.holds(file) for file in there):
            return there
        with self._staged(name) as (published, made):
            source = (
                self._given(part, given, published) if given else self._hub(part, name, published)
            )
            part.make(source, made)
            return [
                self._moved(file, made, ledger)
                for file in sorted(made.rglob("*"))
                if file.is_file()
            ]

    @contextmanager
    def _staged(self, name: str) -> Iterator[tuple[Path, Path]]:
        """Folders for what is fetched and for what is made of it. The first stays only where the
        network broke off, so that the same command goes on.
        """
        stage = self.folder / f".{name}.partial"
        fetched, made = stage / "published", stage / "made"
        try:
            shutil.rmtree(made, ignore_errors=True)
            fetched.mkdir(parents=True, exist_ok=True)
            made.mkdir()
            yield fetched, made
        except MissingWeightsError:
            if not any(fetched.iterdir()):
                self._sweep(stage)
            raise
        except OSError as error:
            self._sweep(stage)
            raise output_error(self.folder, error, "--output") from None
        except BaseException:
            self._sweep(stage)
            raise
        self._sweep(stage)

    def _sweep(self, stage: Path) -> None:
        """Remove the stage, and the folder where nothing else is in it."""
        shutil.rmtree(stage, ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _hub(self, part: UpscalerDownload, name: str, folder: Path) -> Path:
        from huggingface_hub import hf_hub_url

        for file in part.files:
            url = hf_hub_url(part.repository, file)
            try:
                if not (folder / Path(file).name).is_file():
                    self.fetcher.file(url, folder / Path(file).name, told=self.told)
            except MissingWeightsError as error:
                reason = str(error).split("; ")[0]
                raise MissingWeightsError(
                    f"{reason}; where you have it, give it as --part {name} --input FILE"
                ) from None
        return folder

    def _given(self, part: UpscalerDownload, given: Path, folder: Path) -> Path:
        """A folder with the part's files under their published names."""
        if given.is_dir():
            return given
        if not given.is_file():
            raise MissingFileError(f"there is no file at {given}")
        if len(part.files) > 1:
            names = ", ".join(Path(file).name for file in part.files)
            raise BadInputError(f"--input is one file; give a folder with {names}")
        (folder / Path(part.files[0]).name).symlink_to(given.resolve())
        return folder

    def _moved(self, file: Path, made: Path, ledger: DownloadLedger) -> Path:
        """The file in its place, and its hash written down."""
        target = self.folder / file.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        ledger.add(target)
        return target
