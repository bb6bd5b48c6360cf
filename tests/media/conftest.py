"""FFmpeg itself, which makes files as the world makes them."""

import subprocess

import imageio_ffmpeg
import pytest


@pytest.fixture(scope="session")
def ffmpeg():
    """Run FFmpeg with these arguments."""
    program = imageio_ffmpeg.get_ffmpeg_exe()

    def run(*arguments: object) -> None:
        command = [program, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    return run
