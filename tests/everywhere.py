"""`make test-everywhere`: the tests as other machines would run them. AXIS=NAME,NAME takes some;
--list tells all.

Each axis is one difference between machines and the tests that may notice it. Axes of arithmetic
run the tests that compute, for the others read no number that a processor makes; axes of
surroundings run all, three of them in a random order. An axis that this machine cannot try is
skipped, with its reason. What the tests of an axis say is in outputs/everywhere/AXIS-RUN-SUITE.txt
while they run.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.starting import STARTED

ROOT = Path(__file__).resolve().parents[1]
COUNTED = re.compile(r"\d+ (passed|failed).* in ")
LOGS = ROOT / "outputs" / "everywhere"
JOBS = str(min(4, (os.cpu_count() or 1) + 1))
"""Of one suite, as `make test` has them: many tests wait for something."""

COMPUTE = tuple(f"tests/{room}" for room in ("contracts", "motion", "metrics", "pipelines",
                                             "upscaling", "training", "engine", "scenes", "media",
                                             "validation", "evaluation"))  # fmt: skip
"""Where torch, OpenCV or numba make numbers that a test looks at."""
STARTING = tuple(f"tests/{room}" for room in (
    "api", "artifacts", "broker", "clients", "contracts/job_store", "database", "deploy", "jobs",
    "pipelines/parallel", "service", "upscaling/test_stream.py", "worker"))  # fmt: skip
STARTS = re.compile(
    r"\b(Popen|subprocess|multiprocessing|threading|psutil|socket|http\.server|uvicorn|warm_\w+"
    r"|(postgres|rabbit|s3)_kit|receiver|watching)\b"
)


def starters() -> tuple[str, ...]:
    """What starts, kills or waits for a process, a server or a thread of the product: rooms whose
    fixtures do, and other files that say so.
    """
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    return STARTING + tuple(
        file
        for file in files
        if not file.startswith(STARTING) and STARTS.search((ROOT / file).read_text("utf-8"))
    )


STARTERS = starters()


class NotHereError(Exception):
    """This machine cannot try the axis; the message says why."""


@dataclass(frozen=True)
class Axis:
    """One difference. why: what it finds. tests: none means all. before: words in front of the
    command.

    jobs: processes of one suite. suites: how many at one time. runs: how often in a row, from the
    second on only what started something in the first. place: other TMPDIR and HOME, or a clone
    that cannot be written.
    """

    name: str
    why: str
    variables: dict[str, str] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    jobs: str = JOBS
    suites: int = 1
    runs: int = 1
    place: str = ""


def order(seed: int) -> dict[str, str]:
    """Tests in a random order, beside the axis's own difference:
    what fails is tried again without.
    """
    return {"NEWSREEL_TEST_ORDER": str(seed)}


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SIMD = "SSE4.1,SSE4.2,AVX,FP16,AVX2,FMA3,AVX512-SKX"
OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41",
       "OPENCV_CPU_DISABLE": SIMD, "OPENCV_IPP": "disabled",
       "NUMBA_CPU_NAME": "generic"}  # fmt: skip
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENCV_CPU_DISABLE": "AVX512-SKX", "OPENCV_IPP": "disabled",
        "NUMBA_CPU_NAME": "haswell"}  # fmt: skip
"""A processor differs in all its libraries at once; which one a failure comes from is tried by hand
with one variable."""
AXES = (
    Axis("old-processor", "SSE4 at most, no fused multiply-add", OLD, COMPUTE),
    Axis("avx2-processor", "no AVX-512 or AMX, no IPP: AMD's, older Intel's", AVX2, COMPUTE),
    Axis("one-thread", "no thread but the caller's", {"OMP_NUM_THREADS": "1"}, COMPUTE, jobs="0"),
    Axis("all-threads", "sums split among threads", {"OMP_NUM_THREADS": ""}, COMPUTE, jobs="0"),
    Axis("one-core", "whatever waits for what runs beside it", tests=STARTERS,
         before=("taskset", "-c", "0"), jobs="0"),
    Axis("elsewhere", "another TMPDIR and HOME, closed to others, with a space; an ASCII locale",
         ASCII | order(1), place="folders"),
    Axis("cold", "imports of a process of its own", {"NEWSREEL_TEST_COLD": "1"}, STARTERS),
    Axis("two-suites", "ports, sockets and folders that two share", order(2), suites=2),
    Axis("read-only", "writing into the checkout", order(3), place="read-only"),
    Axis("twenty-times", "races of processes and servers", tests=STARTERS, runs=20),
)  # fmt: skip


def main(names: Sequence[str]) -> int:
    """Run the axes, print a line each and what failed; 1 where something did."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no mount stays
    if list(names) == ["--list"]:
        print(
            "\n".join(
                f"{axis.name:<14} {axis.why}; {len(axis.tests) or 'all'} rooms and files"
                for axis in AXES
            )
        )
        return 0
    wanted = {name for words in names for name in words.split(",")}
    if unknown := wanted - {axis.name for axis in AXES}:
        print(
            f"no axis {', '.join(sorted(unknown))}; there are: "
            f"{', '.join(axis.name for axis in AXES)}"
        )
        return 2
    good = [_tried(axis) for axis in AXES if not wanted or axis.name in wanted]
    return 0 if all(good) else 1


def _tried(axis: Axis) -> bool:
    begin = time.monotonic()
    try:
        with _placed(axis) as (folder, variables):
            outcomes = [
                result for run in range(axis.runs) for result in _run(axis, run, folder, variables)
            ]
    except NotHereError as reason:
        print(f"{axis.name:<14} skipped: {reason}", flush=True)
        return True
    failed = [said for code, said in outcomes if code]
    verdict = "FAILED" if failed else "passed"
    for said in failed:
        print(said[-6000:])
    counted = [line for line in outcomes[-1][1].splitlines() if COUNTED.search(line)]
    last = counted[-1].strip("= ") if counted else "it counted nothing"
    print(f"{axis.name:<14} {verdict} {len(outcomes) - len(failed)} of {len(outcomes)}: {last}; "
          f"{time.monotonic() - begin:.0f} s", flush=True)  # fmt: skip
    return not failed


def _run(axis: Axis, run: int, folder: Path, variables: dict[str, str]) -> list[tuple[int, str]]:
    """Exit code and words of each suite of the axis, run at the same time."""
    if axis.before and shutil.which(axis.before[0]) is None:
        raise NotHereError(f"{axis.before[0]} is not here")
    command = [*axis.before, sys.executable, "-m", "pytest", "--durations=0", "--durations-min=30",
               *axis.tests, "-n", axis.jobs, "--dist", "loadfile",
               "--no-loadscope-reorder", "--max-worker-restart=0"]  # fmt: skip
    environment = {key: value for key, value in (os.environ | variables).items() if value}
    LOGS.mkdir(parents=True, exist_ok=True)
    logs = [LOGS / f"{axis.name}-{run + 1}-{suite + 1}.txt" for suite in range(axis.suites)]
    with ExitStack() as files:
        suites = [subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.STDOUT,
                                   stdout=files.enter_context(log.open("wb")))
                  for log in logs]  # fmt: skip
        codes = [suite.wait() for suite in suites]
    return [
        (code, log.read_text("utf-8", "replace")) for code, log in zip(codes, logs, strict=True)
    ]


@contextmanager
def _placed(axis: Axis) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder to run in and the axis's variables. numba and torch compile for the axis, and not
    from another one's cache.
    """
    with tempfile.TemporaryDirectory(prefix="newsreel-everywhere-") as made:
        caches = {"NUMBA_CACHE_DIR": f"{made}/numba", "TORCHINDUCTOR_CACHE_DIR": f"{made}/inductor"}
        variables = {"OMP_NUM_THREADS": "1"} | caches | axis.variables
        if axis.runs > 1:
            (Path(made) / "started").mkdir()
            variables[STARTED] = f"{made}/started"
        if axis.place == "folders":
            other = Path(made) / "a place"
            for name in ("tmp", "home"):
                (other / name).mkdir(parents=True, mode=0o700)
            yield ROOT, variables | {"TMPDIR": f"{other}/tmp", "HOME": f"{other}/home"}
        elif axis.place == "read-only":
            del variables["NUMBA_CACHE_DIR"]  # the product finds a place by itself
            with _read_only_clone(Path(made) / "clone") as clone:
                yield clone, variables
        else:
            yield ROOT, variables


@contextmanager
def _read_only_clone(clone: Path) -> Iterator[Path]:
    """What is committed, where nothing can be written: by a read-only mount for root, by its modes
    for others.
    """
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    if os.geteuid():
        subprocess.run(["chmod", "-R", "a-w", str(clone)], check=True)
        yield clone
        subprocess.run(["chmod", "-R", "u+w", str(clone)], check=True)
        return
    if subprocess.run(
        ["mount", "--bind", "-o", "ro", str(clone), str(clone)], capture_output=True
    ).returncode:
        raise NotHereError("root writes anywhere, and a read-only mount is refused here")
    try:
        yield clone
    finally:
        subprocess.run(["umount", str(clone)], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
