"""A clip that is gone on with: one file, one manifest, and a replay that finds what came before."""

import itertools

import numpy as np
import pytest

from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.replay import differences, prepare_replay
from src.media.reader import VideoReader


@pytest.fixture
def make(request_for, cpu):
    """Request fields in, result out."""

    def run(**fields):
        prepared = prepare(request_for(**fields))
        return generate(prepared, plans_for(prepared, cpu), cpu)

    return run


def _frames(path):
    with VideoReader(path) as reader:
        return [frame.array.copy() for frame in reader]


def test_a_clip_is_gone_on_with_and_again(make, home):
    first = make(score=False)
    second = make(input_image=first.path, extend=True, prompt="and on", score=True)
    third = make(input_image=second.path, extend=True, prompt="and on again", score=True)
    assert [result.frames for result in (first, second, third)] == [9, 17, 25]
    made = [_frames(result.path) for result in (first, second, third)]
    assert [len(frames) for frames in made] == [9, 17, 25]
    for shorter, longer in itertools.pairwise(made):
        assert all(np.array_equal(a, b) for a, b in zip(shorter, longer, strict=False))
    manifest = read_manifest(third.manifest)
    assert (manifest.before, manifest.plan.extends) == (17, sha256_of(second.path))
    assert third.report["frames"] == 25
    assert third.report["seam"] == {"frames": [16, 17], "score": third.report["curve"][16]}


def test_the_new_part_is_a_clip_of_the_last_frame(make, home, tmp_path):
    from PIL import Image

    first = make(score=False)
    longer = make(input_image=first.path, extend=True, prompt="and on", score=False)
    picture = tmp_path / "last.png"
    Image.fromarray(_frames(first.path)[-1]).save(picture)
    alone = make(input_image=picture, prompt="and on", score=False)
    assert longer.frame_sha256 == alone.frame_sha256
    assert longer.plan.image_sha256 == alone.plan.image_sha256


def test_an_enlarged_clip_is_scored_at_the_delivered_size(make, home):
    first = make(score=False, upscale="2x:fast")
    longer = make(input_image=first.path, extend=True, upscale="2x:fast", prompt="q", score=True)
    assert longer.report["frames"] == 17
    assert _frames(longer.path)[16].shape == _frames(first.path)[0].shape


def test_a_replay_needs_the_clip_that_came_before(make, home, tiny_folder, cpu, tmp_path):
    first = make(score=False)
    longer = make(input_image=first.path, extend=True, prompt="and on", score=False)
    replay = prepare_replay(longer.manifest, str(tiny_folder), tmp_path / "again.mp4")
    again = generate(replay.prepared, (replay.manifest.plan,), cpu)
    assert differences(replay.manifest, again, cpu) == ""
    assert len(_frames(again.path)) == 17
    first.path.unlink()
    with pytest.raises(MissingFileError, match=f"{first.path.name} .* is not in"):
        prepare_replay(longer.manifest, str(tiny_folder), tmp_path / "third.mp4")


def test_the_clip_itself_is_not_replaced_and_a_picture_is_no_clip(make, home, photograph):
    first = make(score=False)
    data = first.path.read_bytes()
    with pytest.raises(BadInputError, match="which stays"):
        make(input_image=first.path, extend=True, output_path=first.path)
    assert first.path.read_bytes() == data
    with pytest.raises(BadInputError, match="one picture, no clip"):
        make(input_image=photograph, extend=True)


def test_a_replay_finds_the_clip_beside_the_manifest(make, tiny_folder, tmp_path):
    first = make(score=False, output_path=tmp_path / "a.mp4")
    longer = make(input_image=first.path, extend=True, score=False, output_path=tmp_path / "b.mp4")
    assert prepare_replay(longer.manifest, str(tiny_folder)).prepared.before.frames == 9


def test_clips_that_do_not_go_together_are_refused_before_anything_is_planned(
    make, request_for, home
):
    first = make(score=False)
    with pytest.raises(BadInputError, match="ask for --fps 8"):
        prepare(request_for(input_image=first.path, extend=True, fps=24))
    with pytest.raises(BadInputError, match="ask for --width .* without --upscale"):
        make(input_image=first.path, extend=True, upscale="2x:fast")
    with pytest.raises(MissingFileError):
        make(input_image=first.path.with_name("none.mp4"), extend=True)
    with pytest.raises(BadInputError):
        make(input_image=first.manifest, extend=True)
