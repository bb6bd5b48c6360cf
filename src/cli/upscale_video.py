"""The command behind `src.upscale_video`: enlarge a video, or a folder of them, and lose nothing of
it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from src.console.options import JSON, QUIET, SIGN, make_app, option_of
from src.console.output import command, print_json
from src.core.config import validate
from src.core.errors import (
    BadInputError,
    CancelledError,
    MissingFileError,
    NewsreelError,
    PartialFailureError,
)
from src.core.paths import LONGEST, exists, same_name, shortened
from src.core.upscale_request import FIELDS, UpscaleRequest

if TYPE_CHECKING:
    from src.upscaling.job import UpscaleJob
    from src.upscaling.ledger import Ledger
    from src.upscaling.report import UpscaleReport

OPTIONS: dict[str, Any] = {
    **{name: option_of(field) for name, field in FIELDS.items()},
    "sign": SIGN,
    "json": JSON,
    "quiet": QUIET,
}


def upscale_video_app() -> typer.Typer:
    """Stopped at any point, the same command goes on where it was."""
    return make_app(
        OPTIONS, "Enlarge a video with its sound, subtitles, times and colours as they are.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        if values["input"] is None or values["output"] is None:
            raise BadInputError("give --input VIDEO and --output FILE")
        if not exists(values["input"]):
            raise MissingFileError(f"there is no video at {values['input']}")
        if values["input"].is_dir():
            _folder(values)
        else:
            _file(values)


def _file(values: dict[str, Any]) -> None:
    from src.upscaling.ledger import Ledger, check_replaceable

    job = _job(values, values["input"], values["output"])
    job.check()
    check_replaceable(job.target, values["overwrite"])
    _answer(_one(values, job, Ledger(job.target.parent)), values)


def _one(values: dict[str, Any], job: "UpscaleJob", ledger: "Ledger") -> "UpscaleReport":
    """Run, and write down that the output is ours."""
    from src.artifacts.local import LocalStore
    from src.console.progress import ProgressBar
    from src.core.paths import home
    from src.engine.probe import probe
    from src.engine.publisher import Publisher

    with ProgressBar(values["quiet"]) as bar:
        return Publisher(LocalStore(home()), probe(job.choice.device), bar).enlarge(job, ledger)


def _job(values: dict[str, Any], source: Path, target: Path) -> "UpscaleJob":
    from src.engine.enlarging import enlarging_job
    from src.engine.signing import with_signature

    given = {name: values[name] for name in FIELDS if values[name] not in (None, [])}
    if values["sign"]:
        given["finishers"] = with_signature(tuple(given.get("finishers", ())))
    request = given | {"input": source, "output": target}
    return enlarging_job(validate(request, UpscaleRequest, "the flags"))


def _folder(values: dict[str, Any]) -> None:
    """Each video of the folder, by name; one that fails does not stop the others, one that is there
    is left alone.
    """
    from loguru import logger

    from src.media.folder import NAMED, none_here, videos_among
    from src.upscaling.ledger import Ledger

    source, target = values["input"], values["output"]
    videos, others = videos_among(source.iterdir())
    if not videos:
        raise none_here(source, others)
    if target.is_file() or (target.suffix.lower() in NAMED and not target.is_dir()):
        raise BadInputError(
            f"--input is a folder, so --output must be one too, and {target} names a file"
        )
    if target.resolve() == source.resolve():
        raise BadInputError(
            f"--output is the folder of the inputs, {source}; choose another, so that none is "
            "replaced"
        )
    records, failed, taken, finished = [], 0, set(), Ledger(target)
    for path in videos:
        records.append(
            _record(values, path, _named(path, target, values["codec"], taken), finished)
        )
        failed += "error" in records[-1]
    for path, reason in others.items():
        logger.info(f"{path} is left out: {reason}")
    if values["json"]:
        print_json(
            {"videos": records, "left_out": {str(path): reason for path, reason in others.items()}}
        )
    if failed:
        raise PartialFailureError(f"{failed} of {len(videos)} videos failed")


def _named(path: Path, target: Path, codec: str | None, taken: set[str]) -> Path:
    """The output of one video of a folder: its own name; .mkv where its container is only read.

    taken: names of the outputs so far; a.avi and a.mkv of one folder do not become one file.
    """
    from src.media.encoders import find_encoder

    kept = () if codec == "png" else find_encoder(codec or "x264").containers
    suffix = "" if codec == "png" else path.suffix if path.suffix.lower() in kept else ".mkv"
    wanted = (path.stem, path.name, *(f"{path.name}-{number}" for number in range(2, 1000)))
    names = [shortened(name, LONGEST - len(suffix)) + suffix for name in wanted]
    name = next(name for name in names if same_name(target / name) not in taken)
    taken.add(same_name(target / name))
    return target / name


def _record(values: dict[str, Any], path: Path, target: Path, finished: "Ledger") -> dict[str, Any]:
    from loguru import logger

    from src.upscaling.ledger import check_replaceable, job_key

    try:
        job = _job(values, path, target)
        key = job_key(job)
        if finished.holds(target, key):
            logger.info(f"{target} is there already")
            return {"input": str(path), "target": str(target), "skipped": True}
        check_replaceable(target, values["overwrite"])
        report = _one(values, job, finished)
    except CancelledError:
        raise
    except NewsreelError as error:
        logger.error(f"{path}: {error}")
        return {"input": str(path), "error": str(error)}
    _say(report, values)
    return _as_dict(report) | {"input": str(path)}


def _answer(report: "UpscaleReport", values: dict[str, Any]) -> None:
    if values["json"]:
        print_json(_as_dict(report))
    else:
        _say(report, values)


def _say(report: "UpscaleReport", values: dict[str, Any]) -> None:
    """The output's path on standard output, what it took on standard error."""
    from loguru import logger

    for sentence in report.lost:
        logger.warning(sentence)
    repeated = report.frames - report.resumed - report.computed
    logger.info(
        f"{report.frames} frames at {report.width}x{report.height} in {report.seconds:.1f} s, "
        f"{report.fps:.1f} fps"
        + (f"; {report.resumed} were there already" if report.resumed else "")
        + (f"; {repeated} repeat the frame before" if repeated > 0 else "")
        + (f"; computed by {', '.join(report.builds)}" if report.builds else "")
        + (f"; refined by {report.refined}" if report.refined else "")
    )
    if not values["json"]:
        print(report.target)


def _as_dict(report: "UpscaleReport") -> dict[str, Any]:
    from dataclasses import asdict

    paths = {"target": str(report.target), "manifest": report.manifest and str(report.manifest)}
    return asdict(report) | paths | {"fps": round(report.fps, 3)}
