"""A job of the service, waited for with ComfyUI's bar, and stopped when ComfyUI is stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from newsreel_client import Job, Newsreel

from .host import check_interrupted, output_folder, progress_bar

SERVICE: dict[str, Any] = {
    "url": ("STRING", {"default": "", "tooltip": "Of the service. Empty: NEWSREEL_URL."}),
}
"""The key is read from NEWSREEL_KEY alone: what stands in a widget is saved with the workflow."""


def made(url: str, submit: Callable[[Newsreel], Job]) -> tuple[Job, Path]:
    """Submit a job, wait for it and fetch its file.

    Raises the client's errors, which say what is wrong in one sentence, and ComfyUI's own where the
    person cancels; the job is cancelled then.
    """
    with Newsreel(url or None) as newsreel:
        job = submit(newsreel)
        bar = progress_bar()

        def told(now: Job) -> None:
            check_interrupted()
            bar(now.progress.done, now.progress.total)

        try:
            job = newsreel.wait(job, told)
        except BaseException as error:
            _stop(newsreel, job, error)
            raise
        return job, newsreel.download(job, output_folder() / str(job.artifact))


def _stop(newsreel: Newsreel, job: Job, error: BaseException) -> None:
    """Nobody waits for it any more; one that has ended by itself is left as it is."""
    if not newsreel.job(job).final:
        newsreel.cancel(job)
        error.add_note(f"job {job.id} was cancelled")
