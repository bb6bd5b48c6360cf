"""A warm pipeline: loaded once for a session key, it runs every plan that shares the key."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from loguru import logger

from src.core.errors import CancelledError, MissingFileError
from src.core.plan import Cache, Plan, SessionKey
from src.core.progress import CancelToken, Listener
from src.engine.company import ClipTask, Company
from src.engine.costs import Stopwatch
from src.engine.drafts import planned_preview
from src.engine.session_run import Decode, Ready, SessionRun, begin_run, denoising, tiled
from src.pipelines.adapter_files import AdapterFile
from src.pipelines.cache_fit import FITTED
from src.pipelines.divided import DividedFamily
from src.pipelines.families import family_named
from src.pipelines.family import parts_of

if TYPE_CHECKING:
    from src.pipelines.denoise import Preview
    from src.pipelines.parallel.ranks import Ranks


Loader = Callable[[Path, SessionKey], Any]


class Session:
    """Holds one loaded pipeline. Not thread-safe: one run at a time.

    key: what is loaded. folder: where from. Loading happens on first use, or by `load()`. loader:
    what builds the pipeline from folder and key; benchmarks pass one that needs no files. ranks:
    of a process that another one leads; None for one that leads, or is alone.
    """

    def __init__(
        self,
        key: SessionKey,
        folder: Path,
        loader: Loader | None = None,
        ranks: "Ranks | None" = None,
    ) -> None:
        self.key = key
        self.folder = folder
        self.family = family_named(key.family)
        self._loader = loader
        self.adapters: tuple[AdapterFile, ...] = ()
        self._pipe: Any = None
        self._rack: Any = None
        self._checkpoint_scheduler: Any = None
        self.encodings: Any = None
        self._cache_work: Any = None
        self._ready: dict[str, Ready] = {}
        self._previews: dict[str, Any] = {}
        self._changes = 0
        self._ranks = ranks
        self._company: Company | None = None

    def load(self) -> Any:
        """The pipeline, loaded on the first call."""
        if self._pipe is None:
            from src.pipelines.adapters import AdapterRack
            from src.pipelines.encodings import share_encodings
            from src.pipelines.loading import load_pipeline

            if self.key.gpus > 1 and self._ranks is None:
                self._gather()
            self._pipe = (self._loader or load_pipeline)(self.folder, self.key)
            if self._ranks is not None:
                self.family = DividedFamily(family_named(self.key.family), self._pipe, self._ranks)
            self._checkpoint_scheduler = self._pipe.scheduler
            self._rack = AdapterRack(self._pipe)
            if self.key.vae != "stock":
                self.encodings = share_encodings(self.family, self._pipe)
        return self._pipe

    def _gather(self) -> None:
        """Start the processes that make its clips too."""
        from src.pipelines.parallel.ranks import LIMIT_S

        self._company = Company(self.key, self.folder)
        try:
            self._ranks = self._company.gather(LIMIT_S)
        except BaseException as error:
            self._company.end()
            self._company = None
            raise error

    def unload(self) -> None:
        """Drop the pipeline and give its memory back."""
        if self._company is not None:
            self._company.end()
            self._company = self._ranks = None
            self.family = family_named(self.key.family)
        from src.pipelines.memory import release

        if self.key.compile and self._pipe is not None:
            from src.pipelines.compiling import forget_compiled

            forget_compiled()
        # each holds the pipeline
        self._pipe = self._rack = self.encodings = self._checkpoint_scheduler = None
        self._cache_work = None
        self._ready.clear()
        self._previews.clear()
        release()

    def cut_from(self, prompt: str, limit: int) -> str:
        """The end of the prompt that the model will not read because it is beyond `limit` tokens;
        "" if none.
        """
        from src.pipelines.text import beyond

        tokenizers = [getattr(self.load(), name) for name in self.family.tokenizers]
        return beyond(tokenizers[0], prompt, limit) if tokenizers else ""

    def remarks(self, plan: Plan) -> tuple[str, ...]:
        """What the last run has to say of itself: that its step cache skipped nothing."""
        planned = plan.cache.name not in FITTED or plan.cache.skipped
        if planned and (self._cache_work is None or not self._cache_work.idle):
            return ()
        return (
            f"the cache {plan.cache.name} skipped none of {plan.num_inference_steps} forwards: "
            "more steps, or another threshold",
        )

    def run(
        self,
        plan: Plan,
        pixels: np.ndarray,
        watch: Stopwatch,
        listener: Listener,
        cancel: CancelToken,
        preview: "Preview | None" = None,
    ) -> Iterator[np.ndarray]:
        """Yield the native frames (H, W, 3) uint8 in order; pixels: the photograph at native size.

        Latents that are there already for this very plan are decoded; everything else is computed
        here. Where memory runs out while decoding, the latents are kept for the plan that decodes
        in tiles.
        """
        with self._in_company():
            pipe = self._prepared(plan, watch)
            if self._company is not None:
                self._company.begin(ClipTask(plan, pixels, self.adapters))
            if self._ranks is not None:
                cancel = self._ranks.shared(cancel)
            run = SessionRun(
                self.family,
                pipe,
                plan,
                pixels,
                watch,
                listener,
                cancel,
                preview,
                self._keep,
                self._decoder(plan),
            )
            ready = self._ready.get(plan.digest())
            for piece in run.stock() if plan.mode == "baseline" else run.frames(ready):
                yield from piece
        if self._company is not None:
            logger.info(self._company.traffic())

    def _decoder(self, plan: Plan) -> Decode | None:
        """That of a draft, which is read once; None: the family's."""
        if plan.draft is None:
            return None
        from src.pipelines.preview_decoder import decoding, load_preview

        if self._previews.get(plan.draft.preview) is None:
            file = planned_preview(plan.draft, self.folder)
            self._previews = {file.sha256: load_preview(file, self.key.device)}
        return decoding(self.family, self._previews[plan.draft.preview])

    @contextmanager
    def _in_company(self) -> Iterator[None]:
        """An error in one process is the end of all; a cancelled clip is over in all at once.

        Raises LostProcessError where the error is that another process ended, MemoryError where
        that was for lack of memory.
        """
        try:
            yield
        except (GeneratorExit, CancelledError):
            raise
        except BaseException as error:
            if self._company is None:
                raise
            reason = self._company.reason(error)
            self.unload()
            if reason is error:
                raise
            raise reason from error

    def _keep(self, plan: Plan, ready: Ready) -> None:
        """Of several processes each has latents of its own, and none is asked for them again."""
        if self.key.gpus == 1:
            self._ready[tiled(plan).digest()] = ready

    def keeps_latents_of(self, plan: Plan) -> bool:
        """Whether `plan`, decoded in tiles, only needs to be decoded."""
        return not plan.session.tiling and tiled(plan).digest() in self._ready

    def make_room(self) -> None:
        """Give back what a failed run left, and keep the pipeline."""
        from src.pipelines.memory import release

        release()

    def denoise_together(
        self,
        plans: Sequence[Plan],
        pictures: Sequence[np.ndarray],
        listener: Listener,
        cancel: CancelToken,
    ) -> None:
        """Denoise the clips of plans that share their forwards, and keep the latents until the next
        call.

        plans: differ in prompt, photograph and seed alone. pictures: their photographs at native
        size.
        """
        from src.pipelines import denoise

        watch, first = Stopwatch(), plans[0]
        pipe = self._prepared(first, watch)
        try:
            with watch.stage("encode"):
                clips = [
                    begin_run(self.family, pipe, plan, pixels)
                    for plan, pixels in zip(plans, pictures, strict=True)
                ]
            with watch.stage("denoise"), denoising(self.family, pipe, first.session):
                made = denoise.denoise(self.family, pipe, first, clips, listener, cancel)
        finally:
            pipe.maybe_free_model_hooks()
        seconds = {stage: watch.seconds[stage] / len(plans) for stage in ("encode", "denoise")}
        self._ready = {
            plan.digest(): Ready(latents, seconds)
            for plan, latents in zip(plans, made, strict=True)
        }

    def _prepared(self, plan: Plan, watch: Stopwatch) -> Any:
        with watch.stage("load"):
            pipe = self.load()
            self._set_scheduler(plan)
            self._set_adapters_and_cache(plan)
        return pipe

    def _set_scheduler(self, plan: Plan) -> None:
        """A fresh scheduler for each run, so that no state of an earlier run is left in it."""
        self._pipe.scheduler = self.family.stock.make_scheduler(
            self._checkpoint_scheduler, plan, self.key.device
        )
        visited = tuple(self._pipe.scheduler.timesteps.tolist())
        if not same_timesteps(visited, plan.timesteps):
            raise AssertionError(f"the scheduler visits {visited}, the plan says {plan.timesteps}")

    def _set_adapters_and_cache(self, plan: Plan) -> None:
        """Exactly the plan's adapters, and its step cache without state of an earlier run."""
        from src.pipelines.tuning import use_caches

        by_hash = {adapter.reference.sha256: adapter for adapter in self.adapters}
        missing = [adapter.file for adapter in plan.adapters if adapter.sha256 not in by_hash]
        if missing:
            raise MissingFileError(
                f"adapter {missing[0]} of this plan is not at hand; name it with --lora PATH"
            )
        files = [replace(by_hash[adapter.sha256], reference=adapter) for adapter in plan.adapters]
        # a cache's hooks call those beneath them, which streaming renews for other adapters
        use_caches(self.family, self._pipe, Cache())
        if self._rack.put(files) and self.key.compile:
            self._count_change()
        use_caches(self.family, self._pipe, plan.cache)
        self._count_work(plan)

    def _count_change(self) -> None:
        """Compiled code is of the adapters that were on: forgotten in time, it never meets torch's
        limit.
        """
        from src.pipelines.compiling import CHANGES, forget_compiled

        self._changes += 1
        if self._changes % CHANGES == 0:
            forget_compiled()

    def _count_work(self, plan: Plan) -> None:
        """Watch the cache of this run; compiled blocks do not show what they compute."""
        from src.pipelines.cache_work import CacheWork

        if self._cache_work is not None:
            self._cache_work.close()
        watched = plan.cache.name != "none" and not self.key.compile
        part = parts_of(self.family, "denoiser")[0]
        self._cache_work = CacheWork(getattr(self._pipe, part.name), part) if watched else None


def same_timesteps(visited: Sequence[float], planned: Sequence[float]) -> bool:
    """Whether they are the same to a thousandth of a training step: those of flows are float32, and
    no integers.
    """
    return len(visited) == len(planned) and all(
        abs(a - b) < 1e-3 for a, b in zip(visited, planned, strict=True)
    )
