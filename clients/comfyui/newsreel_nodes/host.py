"""What ComfyUI offers a node: a bar, a wish to stop, an output folder. Outside of it, as in tests,
there is no bar, nobody stops, and files go to a temporary folder.
"""

import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def check_interrupted() -> None:
    """Raise ComfyUI's own exception where the person pressed cancel."""
    management = _module("comfy.model_management")
    if management is not None:
        management.throw_exception_if_processing_interrupted()


def progress_bar() -> Callable[[int, int], None]:
    """A function of done and total units that moves the node's bar."""
    utils = _module("comfy.utils")
    if utils is None:
        return lambda done, total: None
    bar = utils.ProgressBar(100)
    return lambda done, total: bar.update_absolute(done, max(total, 1))


def output_folder() -> Path:
    """Where finished files go."""
    paths = _module("folder_paths")
    root = Path(paths.get_output_directory()) if paths else Path(tempfile.gettempdir())
    folder = root / "newsreel"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
