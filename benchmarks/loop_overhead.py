"""What our loop costs beside the stock pipeline at equal settings: wall time as a ratio, in one
process.

    python -m benchmarks.loop_overhead --model nano --steps 4 --repeats 5

Both run the same loaded pipeline, unmodified VAE, same seed, turn by turn, so that a noisy machine
disturbs both; the ratio is of the medians. The frames are compared too: a faster loop with other
frames is worth nothing.
"""

import argparse
import json
import statistics
import time

import numpy as np

from src.core.paths import REPOSITORY
from src.core.plan import Plan
from src.core.progress import CancelToken, ignore
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine.costs import Stopwatch
from src.engine.probe import probe
from src.engine.resolve import resolve
from src.engine.session import Session
from src.media.images import fit_photograph, read_photograph
from src.pipelines.locate import locate
from src.pipelines.models import find_model

SAMPLE = REPOSITORY / "data" / "samples" / "sample_image_1.png"


def main() -> None:
    arguments = parse()
    spec = find_model(arguments.model)
    session = Session(plan_for(arguments, "optimized").session, locate(spec))
    plans = {"stock": plan_for(arguments, "baseline"), "ours": plan_for(arguments, "optimized")}
    size = plans["ours"].native
    pixels = fit_photograph(read_photograph(SAMPLE).pixels, size.width, size.height, "cover")
    frames = {name: run(session, plan, pixels)[1] for name, plan in plans.items()}
    seconds: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(arguments.repeats):
        for name, plan in plans.items():
            seconds[name].append(run(session, plan, pixels)[0])
    print(
        json.dumps(
            report(arguments, seconds, np.array_equal(frames["stock"], frames["ours"])), indent=2
        )
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def plan_for(arguments: argparse.Namespace, mode: str) -> Plan:
    """The same settings for both; the session key is always that of the unmodified VAE."""
    request = Request(
        input_image=SAMPLE,
        prompt="pan left",
        mode=mode,
        num_inference_steps=arguments.steps,
        guidance_scale=3.0,
    )
    plan = resolve(request, find_model(arguments.model), probe(), load_templates(), {}, "", 1)[0]
    key = plan.session.model_copy(update={"vae": "stock"})
    return plan.model_copy(update={"session": key, "scheduler": "dpm"})


def run(session: Session, plan: Plan, pixels: np.ndarray) -> tuple[float, np.ndarray]:
    begin = time.perf_counter()
    frames = np.stack(list(session.run(plan, pixels, Stopwatch(), ignore, CancelToken())))
    return time.perf_counter() - begin, frames


def report(
    arguments: argparse.Namespace, seconds: dict[str, list[float]], same: bool
) -> dict[str, object]:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "model": arguments.model,
        "steps": arguments.steps,
        "repeats": arguments.repeats,
        "frames_equal": same,
        "seconds": {
            name: [round(value, 3) for value in values] for name, values in seconds.items()
        },
        "ratio_of_medians": round(medians["ours"] / medians["stock"], 4),
    }


if __name__ == "__main__":
    main()
