"""What a folder's batch has finished already: the same command does none of it again.

`.newsreel.json` in the output folder says of each output which job made it and the state it was left in.
"""

from __future__ import annotations

import json
from pathlib import Path

from src.artifacts.store import write_whole
from src.upscaling.files import file_hashes, preset_files
from src.upscaling.job import UpscaleJob
from src.upscaling.work import key_of

NAME = ".newsreel.json"


class Finished:
    """The record of one output folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            self.known: dict[str, list] = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):  # a record that cannot be read costs time, not videos
            self.known = {}

    def holds(self, job: UpscaleJob) -> bool:
        """Whether the job's output is there, made by this very job and untouched since."""
        return job.target.exists() and self.known.get(job.target.name) == _entry(job)

    def add(self, job: UpscaleJob) -> None:
        """The job's output is whole. Raises OutputError where that cannot be written down."""
        self.known[job.target.name] = _entry(job)
        write_whole(self.path, (json.dumps(self.known, indent=1) + "\n").encode())


def _entry(job: UpscaleJob) -> list:
    """Key of the job; number of files, bytes and newest time of its output, which is a folder for pictures."""
    choice = job.choice
    key = key_of(job.decides(file_hashes(preset_files(choice.preset, choice.scale, choice.folder))))
    files = sorted(job.target.iterdir()) if job.target.is_dir() else [job.target]
    stats = [file.stat() for file in files]
    return [key, len(stats), sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)]
