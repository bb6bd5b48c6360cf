"""The form that a run computes a network with: the usual one, the one that is asked for, or the one
that is measured fastest.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger

from src.build_cache.cache import Build, BuildCache
from src.build_cache.key import BuildKey
from src.core.devices import machine
from src.core.errors import BadInputError
from src.core.files import sha256_of
from src.core.paths import shortened
from src.pipelines.memory import is_out_of_memory
from src.upscaling.builds.forms import Form, enlarge_with
from src.upscaling.builds.kinds import TORCH, Kind, device_of, kinds_for, usual_runtime
from src.upscaling.builds.proof import compare_form
from src.upscaling.builds.usual import usual_form
from src.upscaling.network import VideoNetwork

FORMAT = 3
"""Grows where the same weights and versions give another build. Up to 2, graphs had their channels
first and held the skip.
"""
ROUNDS = 4
"""Each form enlarges a frame so many times, in turn with the others; the fastest counts."""


@dataclass(frozen=True)
class Opened:
    """A form, and what manifests call it: its name, with the first digits of its build's key."""

    form: Form
    build: str


class Opener:
    """Opens forms of one network. path: of its weights. sha256: of them."""

    def __init__(
        self, network: VideoNetwork, path: Path, sha256: str, cache: BuildCache | None = None
    ) -> None:
        self.network, self.path, self.sha256 = network, path, sha256
        self.cache, self.device = cache or BuildCache(), device_of(network)
        self.model = shortened("upscaler-" + re.sub(r"[^\w-]", "-", path.stem), 100)

    def open(self, runtime: str | None, precision: str | None) -> Opened:
        """The usual form where neither is given; else of what can run here the fastest. A precision
        alone is torch's, where torch has it.

        Raises BadInputError where nothing that is asked for runs here, or the one kind that is
        left gives other pictures than torch; OutputError where the disk takes no build.
        """
        if runtime is None and precision is None:
            form = usual_form(self.network)
            return Opened(form, form.name)
        kinds = kinds_for(self.device, runtime or usual_runtime(precision), precision)
        return self.load(kinds[0]) if len(kinds) == 1 else self._fastest(kinds)

    def load(self, kind: Kind) -> Opened:
        """The form of a kind, from its build, which is made where it is not there. Raises as
        `open` does.
        """
        if kind.is_reference:
            return Opened(kind.load(self.network, self.path), kind.name)
        with library_errors(kind):
            key = self.key(kind)
            build = self.cache.find(key) or self._build(kind, key)
            return Opened(kind.load(self.network, build.folder), f"{kind.name} {key.digest[:12]}")

    def key(self, kind: Kind) -> BuildKey:
        """What the build of a kind depends on."""
        fields = {
            "format": FORMAT, "runtime": kind.runtime, "precision": kind.precision,
            "weights": self.sha256, "spec": self.network.spec.model_dump(), "device": self.device,
            "torch": torch.__version__,
        } | machine(self.device) | kind.facts()  # fmt: skip
        return BuildKey(model=self.model, fields=fields)

    def _build(self, kind: Kind, key: BuildKey) -> Build:
        def make(folder: Path) -> dict[str, Any]:
            logger.info(f"{kind.name} of {self.path.stem} is built and compared with torch, once")
            kind.make(self.network, folder)
            found = compare_form(kind.load(self.network, folder), self.network)
            found.check(f"{kind.name} of {self.path.stem}", kind.precision)
            return found.facts() | {"file": str(self.path.resolve())}

        return self.cache.add(key, make)

    def _fastest(self, kinds: list[Kind]) -> Opened:
        """What was measured fastest here, once: a later run, and one that resumes,
        takes the same; processes that begin together measure one after the other.
        """
        question = {
            "threads": torch.get_num_threads(),
            "builds": [self.key(kind).digest for kind in kinds],
        }
        known = self._known(question, kinds)
        if known is None:
            with self.cache.alone(self.model):
                known = self._known(question, kinds) or self._measured(question, kinds)
        return known

    def _known(self, question: dict[str, Any], kinds: list[Kind]) -> Opened | None:
        """What an earlier measurement says."""
        known = self.cache.recall(self.model, question) or {}
        named = {kind.name: kind for kind in kinds}
        return self.load(named[known["fastest"]]) if known.get("fastest") in named else None

    def _measured(self, question: dict[str, Any], kinds: list[Kind]) -> Opened:
        """Measure, tell, and write the answer down."""
        opened, left_out = self._all(kinds)
        seconds = seconds_a_frame(self.network, [each.form for each in opened.values()])
        told = dict(zip(opened, seconds, strict=True))
        fastest = min(told, key=lambda name: told[name])
        answer = {"fastest": fastest, "seconds": told, "left_out": left_out}
        self.cache.note(self.model, question, answer)
        logger.info(
            f"{self.path.stem}: {fastest} is fastest here; {_figures(told)} ms a frame (240x160)"
        )
        return opened[fastest]

    def _all(self, kinds: list[Kind]) -> tuple[dict[str, Opened], dict[str, str]]:
        """The forms that hold the proof, and why others do not."""
        opened, left_out = {}, {}
        for kind in kinds:
            try:
                opened[kind.name] = self.load(kind)
            except BadInputError as error:
                logger.warning(str(error))
                left_out[kind.name] = str(error)
        if not opened:
            raise BadInputError("; ".join(left_out.values()))
        return opened, left_out


@contextmanager
def library_errors(kind: Kind) -> Iterator[None]:
    """What the library of a kind raises is a BadInputError: another kind computes the same. Torch's
    own errors, and memory that ran out, stay what they are.
    """
    try:
        yield
    except ImportError as error:
        raise BadInputError(f"{kind.name}: a library cannot be loaded: {error}") from error
    except RuntimeError as error:
        if kind.runtime == TORCH or is_out_of_memory(error):
            raise
        raise BadInputError(f"{kind.name} does not work here: {error}") from error


def _figures(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * each:.0f}" for name, each in seconds.items())


def seconds_a_frame(network: VideoNetwork, forms: list[Form]) -> list[float]:
    """Seconds that each form takes for a frame of 240x160, the least of `ROUNDS`.

    On a CPU those of its cores, all threads together: of wall time a busy machine takes any share.
    """
    device = device_of(network)
    noise = np.random.default_rng(0).random((1, 3, 160, 240), np.float32)
    frame, told = torch.from_numpy(noise).to(device), torch.zeros(1, 2, device=device)
    taken: list[list[float]] = [[] for _ in forms]
    clock = time.process_time if device == "cpu" else time.perf_counter
    for _ in range(1 + ROUNDS):
        for form, times in zip(forms, taken, strict=True):
            began = clock()
            enlarge_with(form, frame, told).cpu()
            times.append(clock() - began)
    return [min(times[1:]) for times in taken]


def prove_again(build: Build) -> tuple[bool | None, str]:
    """Compare a build with torch again: whether it holds, and what was found, in words.

    None where this machine cannot say: weights, versions or the processor are not those of the
    build.
    """
    try:
        kind, opener = _of_build(build)
        if opener.key(kind).digest != build.folder.name:
            return None, "is of other weights, other versions or another machine"
        with library_errors(kind):
            form = kind.load(opener.network, build.folder)
    except (BadInputError, OSError) as error:
        return None, f"cannot be compared here: {error}"
    found = compare_form(form, opener.network)
    try:
        found.check(build.name, kind.precision)
    except BadInputError as error:
        return False, str(error)
    return True, found.words


def _of_build(build: Build) -> tuple[Kind, Opener]:
    """Raises BadInputError or OSError where kind, device or weights are not here."""
    from src.core.devices import find_device
    from src.upscaling.weights import load_network

    device, path = find_device(build.fields["device"]), Path(build.facts["file"])
    (kind,) = kinds_for(device, build.fields["runtime"], build.fields["precision"])
    return kind, Opener(load_network(path).to(device), path, sha256_of(path))
