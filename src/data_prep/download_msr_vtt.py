"""Fetch clips and captions of MSR-VTT, as many as asked for, out of the archive without the rest of
it.

python -m src.data_prep.download_msr_vtt --output-dir data/raw/msr-vtt --limit 50
"""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError, OutputError

URL = "https://www.robots.ox.ac.uk/~maxbain/frozen-in-time/data/MSRVTT.zip"
"""The copy that the Frozen-in-Time authors keep (about 6 GB); Microsoft's own page links no files
any more.
"""
ANNOTATIONS = "MSR_VTT.json"
OPTIONS: dict[str, Any] = {
    "output_dir": value(Path, "Default data/raw/msr-vtt."),
    "limit": value(int, "So many clips. Default all."),
    "url": value(str, "The archive, or a mirror of it."),
    "quiet": QUIET,
}


def msr_vtt_app() -> Any:
    """Exit 3 where the network does not give it."""
    return make_app(OPTIONS, "Fetch MSR-VTT: captions and clips, resumable, hashes checked.", _main)


def _main(values: dict[str, Any]) -> None:
    from src.console.progress import ProgressBar
    from src.data_prep.fetch import Fetcher

    with command(quiet=values["quiet"]), ProgressBar(values["quiet"]) as bar:
        if values["limit"] is not None and values["limit"] < 1:
            raise BadInputError(f"--limit is {values['limit']}; it must be 1 or more")
        output = values["output_dir"] or Path("data/raw/msr-vtt")
        download_msr_vtt(output, values["limit"], values["url"] or URL, Fetcher(), bar)


def download_msr_vtt(
    output: Path, limit: int | None, url: str, fetcher: Any, listener: Any
) -> list[Path]:
    """Fetch into `output/videos` and `output/annotations`; files that are there and whole are left
    alone.

    The archive's own CRC is checked for each file, and its SHA-256 kept in `output/hashes.json`.
    Returns the clips.
    """
    from loguru import logger

    from src.core.progress import Progress
    from src.data_prep.fetch import DownloadLedger, RemoteFile

    ledger = DownloadLedger(output)
    with zipfile.ZipFile(RemoteFile(url, fetcher)) as archive:
        videos, captions = members(archive)
        wanted = videos[:limit]
        for member in captions:
            extract_member(
                archive,
                member,
                output / "annotations" / PurePosixPath(member.filename).name,
                ledger,
            )
        paths = []
        for number, member in enumerate(wanted, start=1):
            path = output / "videos" / PurePosixPath(member.filename).name
            paths.append(extract_member(archive, member, path, ledger))
            listener(Progress("clips", number, len(wanted)))
    logger.info(
        "{}: {} clips and {} annotation files of MSR-VTT", output, len(paths), len(captions)
    )
    return paths


def members(archive: zipfile.ZipFile) -> tuple[list[zipfile.ZipInfo], list[zipfile.ZipInfo]]:
    """The clips, by number, and the captions. Raises BadInputError where the archive is another
    one.
    """
    files = [member for member in archive.infolist() if not member.is_dir()]
    videos = [member for member in files if member.filename.lower().endswith(".mp4")]
    captions = [member for member in files if PurePosixPath(member.filename).name == ANNOTATIONS]
    if not videos or not captions:
        raise BadInputError(
            f"the archive holds {len(videos)} clips and no {ANNOTATIONS}: it is not MSR-VTT"
        )
    return sorted(videos, key=_number), captions


def _number(member: zipfile.ZipInfo) -> tuple[int, str]:
    digits = "".join(letter for letter in PurePosixPath(member.filename).stem if letter.isdigit())
    return int(digits or 0), member.filename


def extract_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, ledger: Any
) -> Path:
    """Unpack one file, whole or not at all, unless it is there. Raises BadInputError where its CRC
    is wrong.
    """
    from src.core.durable import write_whole

    if ledger.holds(path):
        return path
    try:
        write_whole(path, archive.read(member))
    except zipfile.BadZipFile as error:
        raise BadInputError(f"{member.filename} is damaged in the archive: {error}") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    ledger.add(path)
    return path


if __name__ == "__main__":
    msr_vtt_app()(prog_name="python -m src.data_prep.download_msr_vtt")
