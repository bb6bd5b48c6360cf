"""The two inference commands: baseline (the stock pipeline) and optimized (our loop). One parser
for both.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from src.console.options import CONFIG, JSON, QUIET, SIGN, make_app, options_for, switch, value
from src.console.output import command, print_json
from src.core.errors import BadInputError, NewsreelError
from src.core.request import Mode, Request, build_request
from src.core.wording import counted

if TYPE_CHECKING:
    from src.core.result import Result

HELP = {
    "baseline": "One clip with the stock diffusers pipeline, untouched, at its card's settings: "
    "the reference.",
    "optimized": "One clip with our denoising loop: the model's own steps, the profile that fits, "
    "the exact fast VAE.",
}
FULL = "Make the full clip of this draft, a clip or its manifest: as asked then, at its seed."
REPLAY = ("model", "output_path", "overwrite", "lora", "device")
SWITCHES: dict[str, Any] = {
    "config": CONFIG,
    "replay": value(Path, "Make the clip of this manifest again and compare its frames."),
    "full": value(Path, FULL),
    "dry_run": switch("Show the plan and run nothing.", "--dry-run"),
    "sign": SIGN,
    "json": JSON,
    "quiet": QUIET,
}


def inference_app(mode: Mode) -> typer.Typer:
    """The command of one mode; the baseline lacks what would make it other than stock."""
    stock = mode == "baseline"
    options = options_for(
        lambda field: field.name != "mode" and (not stock or bool(field.option.baseline)), stock
    )
    switches = {name: option for name, option in SWITCHES.items() if not stock or name != "full"}
    return make_app(options | switches, HELP[mode], lambda values: _main(mode, values))


def _main(mode: Mode, values: dict[str, Any]) -> None:
    as_json, quiet = values.pop("json"), values.pop("quiet")
    replay, dry_run, sign = (values.pop(name) for name in ("replay", "dry_run", "sign"))
    full = values.pop("full", None)
    with command(as_json, quiet):
        if replay is not None:
            _only_replay(values | {"full": full, "dry_run": dry_run or None, "sign": sign or None})
            _replay(replay, values, as_json, quiet)
        else:
            values = _fully(full, values) if full is not None else values
            _generate(_request(mode, values, sign), dry_run, as_json, quiet)


def _fully(draft: Path, values: dict[str, Any]) -> dict[str, Any]:
    """What was asked for the draft, but for what is said now."""
    from src.engine.full import full_of

    if values["draft"]:
        raise BadInputError("--full makes the full clip of a draft; leave --draft out")
    if values["config"]:
        raise BadInputError("--config does not go with --full: the draft's manifest says it all")
    said = {name: item for name, item in values.items() if item not in (None, [])}
    return {name: None for name in values} | full_of(draft, values["model"]) | said


def _request(mode: Mode, values: dict[str, Any], sign: bool) -> Request:
    config = values.pop("config")
    request = build_request(values | {"mode": mode}, config)
    if not sign:
        return request
    from src.engine.signing import with_signature

    return request.model_copy(update={"finishers": with_signature(request.finishers)})


def _generate(request: Request, dry_run: bool, as_json: bool, quiet: bool) -> None:
    from loguru import logger

    from src.engine.advice import advice
    from src.engine.generate import plans_for, prepare, sized
    from src.engine.probe import probe

    prepared = prepare(request)
    logger.info(prepared.choice)
    hardware = probe(request.device)
    prepared = sized(prepared, hardware)
    sentences = advice(request, prepared.spec, hardware)
    plans = plans_for(prepared, hardware)
    for sentence in sentences:
        logger.info(sentence)
    if dry_run:
        print_json(plans[0].model_dump(mode="json"))
        return
    _show(_run(prepared, plans, hardware, quiet), as_json)


def _run(prepared: Any, plans: Any, hardware: Any, quiet: bool) -> "Result":
    from loguru import logger

    from src.console.progress import ProgressBar
    from src.engine.generate import generate

    plan = plans[0]
    steps = counted(plan.num_inference_steps, "step")
    logger.info(
        f"{plan.num_frames} frames {plan.native} -> {plan.delivered}, {steps}, guidance "
        f"{plan.guidance_scale:g}, seed {plan.seed}, profile {plan.profile}, {plan.session.dtype} "
        f"on {hardware.name}"
    )
    with ProgressBar(quiet) as bar:
        return generate(prepared, plans, hardware, listener=bar)


def _only_replay(values: dict[str, Any]) -> None:
    """Raise BadInputError for a flag that a replay would silently ignore: the plan is the
    manifest's.
    """
    given = [name for name, item in values.items() if item is not None and name not in REPLAY]
    if given:
        no = "no-" if values[given[0]] is False else ""
        flag = f"--{no}{given[0].replace('_', '-')}"
        usable = ", ".join(f"--{name.replace('_', '-')}" for name in REPLAY)
        raise BadInputError(
            f"{flag} does not go with --replay, which runs the manifest's own plan; {usable} do"
        )


def _replay(manifest: Path, values: dict[str, Any], as_json: bool, quiet: bool) -> None:
    from loguru import logger

    from src.engine.probe import probe
    from src.engine.replay import check_hardware, differences, prepare_replay

    replay = prepare_replay(
        manifest,
        values["model"],
        values["output_path"],
        values["lora"] or (),
        bool(values["overwrite"]),
    )
    hardware = probe(
        replay.manifest.plan.session.device if values["device"] is None else values["device"]
    )
    check_hardware(replay.manifest, hardware)
    logger.info(replay.prepared.choice)
    result = _run(replay.prepared, (replay.manifest.plan,), hardware, quiet)
    difference = differences(replay.manifest, result, hardware)
    if difference:
        raise NewsreelError(f"{result.path} was written, but {difference}")
    logger.info("the frames are those of the manifest, bit for bit")
    _show(result, as_json)


def _show(result: "Result", as_json: bool) -> None:
    """Stages and memory on standard error; the path, or the whole result as JSON, on standard
    output.
    """
    from loguru import logger

    costs = result.costs
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in costs.seconds.items())
    vram = f", peak VRAM {costs.peak_vram / 1e9:.2f} GB" if costs.peak_vram else ""
    logger.info(
        f"{stages}; total {costs.total:.1f} s, peak memory {costs.peak_rss / 1e9:.2f} GB{vram}"
    )
    if result.plan.draft:
        logger.info(f"a draft; the full clip of it: --full {_short(result.path)}")
    if as_json:
        print_json(result.model_dump(mode="json") | {"seconds": costs.total})
    else:
        print(_short(result.path))


def _short(path: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(Path.cwd()) if resolved.is_relative_to(Path.cwd()) else path)
