"""What a warm compile cache saves a second process: seconds from its start to the first frame.

    python -m benchmarks.compile_start --model nano --frames 9

Runs the same command in fresh processes: the first with an empty NEWSREEL_HOME, so that blocks are
compiled; the next ones with what it left; and one eager. The start is what a process takes beyond
an eager one: compiling, or reading compiled code.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SAMPLE = "data/samples/sample_image_1.png"


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as home:
        eager = [once(arguments, home, False) for _ in range(arguments.repeats)]
        cold = once(arguments, home, True)
        warm = [once(arguments, home, True) for _ in range(arguments.repeats)]
    print(json.dumps(report(eager, cold, warm), indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args()


def once(arguments: argparse.Namespace, home: str, compiled: bool) -> float:
    """Seconds of denoising in a fresh process, compiling or reading compiled code among them."""
    target = Path(home) / "clip.mp4"
    command = [
        sys.executable, "-m", "src.optimized_inference", "--model", arguments.model, "--device",
        "cpu", "--input-image", SAMPLE, "--prompt", "pan left", "--seed", "1", "--num-frames",
        str(arguments.frames), "--num-inference-steps", str(arguments.steps), "--output-path",
        str(target), "--overwrite", "--no-score", "--delivery", "lanczos", "--json", "--quiet",
        *(["--compile"] if compiled else []),
    ]  # fmt: skip
    without = {name: value for name, value in os.environ.items() if "CACHE_DIR" not in name}
    said = subprocess.run(command, env=without | {"NEWSREEL_HOME": home}, stdout=subprocess.PIPE,
                          text=True, check=True).stdout  # fmt: skip
    return float(json.loads(said)["costs"]["seconds"]["denoise"])


def report(eager: list[float], cold: float, warm: list[float]) -> dict[str, Any]:
    """ratio: of the start with a warm cache to the first."""
    plain = min(eager)
    return {
        "eager": eager,
        "cold": cold,
        "warm": warm,
        "ratio": round((min(warm) - plain) / (cold - plain), 3),
    }


if __name__ == "__main__":
    main()
