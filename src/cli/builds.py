"""The command that looks after optimised builds: list, build, prune, verify."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from src.console.output import command, print_json

if TYPE_CHECKING:
    from src.build_cache.cache import Build

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def builds_app() -> typer.Typer:
    """Works on the cache in NEWSREEL_HOME, where runs with --runtime or --precision find theirs."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, help="Optimised builds.")
    app.command("list", help="Show all builds, with what was measured of them.")(_list)
    app.command("build", help="Make the builds that a run would take, now.")(_build)
    app.command("prune", help="Remove what was used longest ago.")(_prune)
    app.command("verify", help="Compare each with torch again; what differs goes.")(_verify)
    return app


def _list(json: Json = False) -> None:
    from src.build_cache.cache import BuildCache

    with command(json):
        rows = [_row(build) for build in BuildCache().builds()]
        if json:
            print_json({"builds": rows})
        for row in () if json else rows:
            print(_line(row))


def _row(build: "Build") -> dict[str, Any]:
    from datetime import UTC, datetime

    used = datetime.fromtimestamp(build.used, UTC).isoformat(timespec="seconds")
    own = {name: build.fields.get(name, "") for name in ("runtime", "precision", "device")}
    return {"name": build.name} | own | {"bytes": build.bytes, "used": used} | build.facts


def _line(row: dict[str, Any]) -> str:
    measured = f"{row['worst']:.1g} at worst, {row['loss']:+.4f} dB, flicker {row['flicker']:+.2%}"
    kind = f"{row['runtime']} {row['precision']} {row['device']}"
    return f"{row['name']}  {kind:<20}  {row['bytes'] / 1e6:8.2f} MB  {row['used']}  {measured}"


def _build(
    upscaler: Annotated[str, typer.Option(help="An id of configs/upscalers, or a path.")] = "",
    preset: Annotated[str, typer.Option(help="Of the upscaler [its usual one].")] = "",
    scale: Annotated[int, typer.Option(help="2, 4 or 8")] = 2,
    runtime: Annotated[str, typer.Option(help="As of src.upscale_video.")] = "auto",
    precision: Annotated[str, typer.Option(help="As of src.upscale_video.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads [all cores].")] = None,
    json: Json = False,
) -> None:
    with command(json):
        given = {"upscaler": upscaler, "preset": preset, "scale": scale, "runtime": runtime,
                 "precision": precision, "device": device, "threads": threads}  # fmt: skip
        builds = _made({name: value for name, value in given.items() if value not in ("", None)})
        if json:
            print_json({"builds": builds})
        else:
            print("\n".join(builds))


def _made(given: dict[str, Any]) -> list[str]:
    """What computes each pass of what is asked; makes it where it is not there."""
    from pathlib import Path

    from src.core.config import validate
    from src.core.devices import core_count, cpu_threads
    from src.core.upscale_request import EnhanceSettings, UpscaleRequest
    from src.upscaling.registry import load_backend
    from src.upscaling.resolve import resolve_job

    nothing = {"input": Path("none.mp4"), "output": Path("none.mp4"), "codec": "x264"}
    job = resolve_job(validate(given | nothing, UpscaleRequest, "the flags"))
    job.choice.check(EnhanceSettings())
    with cpu_threads(job.threads or core_count()):
        return list(load_backend(job.choice).builds)


def _prune(
    keep: Annotated[str, typer.Option(help="Bytes that may stay, such as 500MB.")] = "0MB",
    json: Json = False,
) -> None:
    from src.build_cache.cache import BuildCache
    from src.core.errors import BadInputError
    from src.core.parsing import parse_bytes

    with command(json):
        budget = parse_bytes(keep)
        if budget is None:
            raise BadInputError(f"--keep is {keep!r}; it must be bytes, such as 500MB or 2GB")
        gone = [build.name for build in BuildCache().prune(budget)]
        if json:
            print_json({"removed": gone})
        for name in () if json else gone:
            print(f"{name} is removed")


def _verify(json: Json = False) -> None:
    from src.build_cache.cache import BuildCache
    from src.core.errors import PartialFailureError
    from src.upscaling.builds.opening import prove_again

    with command(json):
        cache, builds = BuildCache(), list(BuildCache().builds())
        found = [prove_again(build) for build in builds]
        rows = [
            {"name": build.name, "holds": holds, "found": words}
            for build, (holds, words) in zip(builds, found, strict=True)
        ]
        if json:
            print_json({"builds": rows})
        for row in () if json else rows:
            print(f"{row['name']}  {row['found']}")
        bad = [build for build, (holds, _) in zip(builds, found, strict=True) if holds is False]
        stay = [build.name for build in bad if not cache.remove(build)]
        if bad:
            kept = f"; in use and still here: {', '.join(stay)}" if stay else ""
            raise PartialFailureError(
                f"{len(bad)} of {len(rows)} builds did not hold and are removed{kept}"
            )
