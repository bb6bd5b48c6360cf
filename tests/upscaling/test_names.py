"""Any name that a disk takes is a name for an input and an output, and never a URL, an option or a
pattern.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import LONGEST, beside, refused_by_windows, shortened
from src.media.reader import VideoReader
from src.media.writer import VideoWriter, sweep
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video
from tests.locales import needs_utf8_names

LETTERS = st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0")
ODD = st.sampled_from([
    "2024-05-01T12:30:00", "http:host", "https:", "concat:a|b", "-", "-i", "--output", "pipe:",
    "pipe:1", "file:", "data:,x", "a%03d", "%", "*?[]", "CON", "aux", "nul.tar", "clip.", "clip..",
    " lead", "trail ", "新闻片段", "صحافة", "e\u0301", "\U0001f3a5", "a\nb", "a\tb", "'\"`$(x)",
    "x" * 251, "é" * 125, "字" * 83, "\udcff\udc80", "@", "#1", "~", "..a",
])  # fmt: skip


@pytest.fixture(scope="module")
def folder(clip):
    """A folder of this module's own with a clip of three frames."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def _cut(stem: str) -> str:
    """The stem as far as ".mp4" fits after it."""
    data = os.fsencode(stem)[: LONGEST - 4]
    return (
        os.fsdecode(data.decode("utf-8", "ignore").encode())
        if len(os.fsencode(stem)) > LONGEST - 4
        else stem
    )


@settings(max_examples=40, deadline=None)
@needs_utf8_names
@given(stem=st.one_of(ODD, st.text(LETTERS, min_size=1, max_size=120)), relative=st.booleans())
@example("2024-05-01T12:30:00", True)
@example("x" * 251, True)
def test_any_name_is_read_and_written(folder, clip, weights, stem, relative):
    name = _cut(stem) + ".mp4"
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "in").mkdir()
    shutil.copy(clip, place / "in" / name)
    here = Path.cwd()
    try:
        os.chdir(place / "in")
        source = Path(name) if relative else place / "in" / name
        with VideoReader(source) as reader:
            assert next(iter(reader)).array.shape == (32, 48, 3)
        _enlarge(source, place, name, weights)
    finally:
        os.chdir(here)
    assert [os.fsencode(path.name) for path in (place / "out").iterdir()] == [os.fsencode(name)]
    shutil.rmtree(place)


def _enlarge(source: Path, place: Path, name: str, weights: Path) -> None:
    from src.media.span import Span
    from src.upscaling.backends import UpscalerChoice

    (place / "out").mkdir()
    os.chdir(place / "out")
    target = Path(name) if source.is_absolute() else place / "out" / name
    source = source if source.is_absolute() else Path("..") / "in" / name
    job = UpscaleJob(source, target, UpscalerChoice("fast", 2, "cpu", folder=weights), threads=1,
                     span=Span(0, 0.25), encoder_preset="ultrafast")  # fmt: skip
    assert upscale_video(job).frames == 3


@needs_utf8_names
@given(st.one_of(ODD, st.text(min_size=1, max_size=300)), st.integers(14, LONGEST))
def test_a_shortened_name_fits_and_tells_others_apart(name, most):
    name = name.encode("utf-8", "replace").decode()
    short = shortened(name, most)
    assert len(os.fsencode(short)) <= most
    assert short == name or (len(name.encode()) > most and short != shortened(name + "x", most))


@needs_utf8_names
@pytest.mark.parametrize("name", ["a" * 251 + ".mp4", "新" * 83 + ".mp4", "a.mp4"])
def test_what_lies_beside_a_long_name_fits_too(tmp_path, name, pixels):
    for ending in ("4194304.partial.mp4", "0123456789abcdef.partial"):
        assert len(os.fsencode(beside(tmp_path / name, ending).name)) <= LONGEST
    left = beside(tmp_path / name, "999999999.partial.mp4")
    left.touch()
    with VideoWriter(tmp_path / name, 32, 24, 8) as writer:
        writer.write(pixels[:24, :32])
        writer.commit()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    sweep(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1:9/a.mp4", "concat:a.mp4|b.mp4", "pipe:0", "x" * 300 + ".mp4", "a\0b"]
)
def test_a_name_of_no_file_is_missing_and_nothing_is_fetched(name):
    with pytest.raises(MissingFileError, match="there is no video at"):
        VideoReader(Path(name))


@pytest.mark.parametrize("text",
                         ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
                                  "ffconcat version 1.0\nfile '{clip}'\n"])  # fmt: skip
def test_a_list_of_other_files_is_no_video(tmp_path, clip, text):
    listed = tmp_path / "list.m3u8"
    listed.write_text(text.format(clip=clip))
    with pytest.raises(BadInputError, match=r"list of other files|cannot be read"):
        VideoReader(listed)


@pytest.mark.parametrize(("name", "why"), [
    ("con.mp4", "device"), ("LPT1", "device"), ("nul .mp4", "device"), ("a.", "dot"), ("a ", "dot"),
    ("a:b.mp4", "holds :"), ("a?.mp4", "holds ?"), ("clip.mp4", None), ("console.mp4", None),
    ("新闻.mp4", None),
])  # fmt: skip
def test_names_that_windows_would_not_write(name, why):
    said = refused_by_windows(Path(name))
    assert said is None if why is None else why in said
