"""Nothing is lost: each property on a file that FFmpeg made."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from src.core.errors import BadInputError, CancelledError, MissingFileError, OutputError, PartialFailureError
from src.core.progress import CancelToken
from src.core.upscale_request import EnhanceSettings
from src.media.reader import VideoReader
from src.media.span import Span
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import DEPTH, upscale_video
from tests.small_disk import small_disk

from .conftest import UpscalerChoice, use_gate


@pytest.fixture
def enlarge(choice, tmp_path):
    """Enlarge a file with the tiny network; gives the output."""

    def run(source: Path, name: str = "out.mp4", **fields) -> Path:
        fields = {"encoder_preset": "ultrafast", "choice": choice, "threads": 1, "segment": 10} | fields
        return upscale_video(UpscaleJob(source, tmp_path / "out" / name, **fields)).target

    return run


def times(path: Path, kind: str = "video", number: int = 0) -> list[Fraction]:
    """Presentation times of a track's packets, in order."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return sorted(p.pts * p.time_base for p in container.demux(stream) if p.pts is not None and p.size)


def payload(path: Path, kind: str, number: int) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


@pytest.fixture(scope="module")
def rich(tmp_path_factory, ffmpeg) -> Path:
    """A Matroska file at a variable rate with two sound tracks, subtitles, chapters, a title and an attachment."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "words.srt").write_text(
        "1\n00:00:00,200 --> 00:00:01,000\nHello\n\n2\n00:00:01,200 --> 00:00:02,000\nBye\n"
    )
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A day\ncomment=kept\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2400\ntitle=Two\n"
    )
    (folder / "note.txt").write_text("attached")
    path = folder / "rich.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=2.5", "-f", "lavfi", "-i", "sine=440:duration=2.5",
        "-f", "lavfi", "-i", "sine=880:duration=2.5", "-i", folder / "words.srt", "-i", folder / "meta.txt",
        "-map", 0, "-map", 1, "-map", 2, "-map", 3, "-map_metadata", 4, "-vf", "settb=1/1000,setpts='PTS+mod(N,3)*0.03/TB'",
        "-fps_mode", "passthrough", "-enc_time_base:v", "1:1000", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a:0", "aac", "-c:a:1", "libopus",
        "-c:s", "srt", "-metadata:s:a:0", "language=fra", "-metadata:s:a:1", "language=deu",
        "-attach", folder / "note.txt", "-metadata:s:t", "mimetype=text/plain", path,
    )  # fmt: skip
    return path


def test_vfr_times_sound_subtitles_chapters_and_metadata_are_kept(rich, enlarge):
    out = enlarge(rich, "out.mkv")
    assert times(out) == times(rich)
    assert len(set(np.diff([float(t) for t in times(out)]).round(3))) > 1, "the sample was not at a variable rate"
    for kind, number in (("audio", 0), ("audio", 1), ("subtitles", 0)):
        assert times(out, kind, number) == times(rich, kind, number)
        assert payload(out, kind, number) == payload(rich, kind, number)
    with av.open(str(rich)) as given, av.open(str(out)) as made:
        assert (made.streams.video[0].width, made.streams.video[0].height) == (96, 64)
        assert [s.metadata.get("language") for s in made.streams.audio] == ["fra", "deu"]
        assert made.metadata["title"] == "A day"
        assert [s.type for s in made.streams] == [s.type for s in given.streams]
        assert bytes(made.streams.attachments[0].data) == b"attached"
        names = [
            (c["metadata"]["title"], c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in made.chapters()
        ]
    assert names == [("One", 0, 1), ("Two", 1, Fraction("2.4"))]


@pytest.fixture(scope="module")
def cover(tmp_path_factory, clip, ffmpeg) -> Path:
    """A picture to show for a file."""
    path = tmp_path_factory.mktemp("cover") / "cover.png"
    ffmpeg("-i", clip, "-frames:v", 1, path)
    return path


@pytest.mark.parametrize(("given", "made"), [("mp4", "mp4"), ("mkv", "mkv"), ("mp4", "mkv"), ("mkv", "mp4")])
def test_a_cover_picture_and_a_second_video_track_are_kept(tmp_path, clip, cover, ffmpeg, enlarge, given, made):
    source = tmp_path / f"cover.{given}"
    attached = ("-attach", cover, "-metadata:s:t", "mimetype=image/png", "-metadata:s:t", "filename=cover.png")
    shown = ("-map", 1, "-disposition:v:2", "attached_pic")
    ffmpeg("-i", clip, "-i", cover, "-map", "0:v", "-map", "0:v", *(attached if given == "mkv" else shown), "-c", "copy",
           source)  # fmt: skip
    whole, part = enlarge(source, f"out.{made}"), enlarge(source, f"part.{made}", span=Span(0.5, 1.5))
    for out in (whole, part):
        with av.open(str(out)) as container:
            covers = [s.index for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
            assert len(covers) == 1 and len(container.streams.video) == 3
            packets = container.demux(container.streams[covers[0]])
            assert next(bytes(packet) for packet in packets if packet.size) == cover.read_bytes()
    assert payload(source, "video", 0) in [payload(whole, "video", number) for number in range(3)]


def test_what_a_container_does_not_hold_is_refused_with_one_that_does(tmp_path, clip, cover, ffmpeg, enlarge):
    (tmp_path / "words.srt").write_text("1\n00:00:00,200 --> 00:00:01,000\nHello\n")
    source = tmp_path / "words.mp4"
    ffmpeg("-i", clip, "-i", tmp_path / "words.srt", "-c:v", "copy", "-c:s", "mov_text", source)
    with pytest.raises(BadInputError, match=r"holds no mov_text subtitle.*name the output out\.mp4"):
        enlarge(source, "out.mkv")
    ffmpeg("-i", clip, "-i", cover, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:1", "attached_pic", source)
    job = UpscaleJob(source, tmp_path / "out.mov")
    assert job.tracks() == ["cover picture 1 (png) is left out: .mov does not hold it"]


def test_sound_stays_beside_its_picture_in_mp4(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=48x32:rate=30000/1001:duration=2", "-f", "lavfi", "-i", "sine=440:duration=2",
           "-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata", "title=Rain", source)  # fmt: skip
    out = enlarge(source)
    assert times(out) == times(source) and times(out, "audio") == times(source, "audio")
    assert payload(out, "audio", 0) == payload(source, "audio", 0)
    with av.open(str(out)) as made:
        assert made.streams.video[0].average_rate == Fraction(30000, 1001)
        assert made.metadata["title"] == "Rain"


def test_ten_bit_hlg_stays_ten_bit_hlg(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "hlg.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:rate=10:duration=0.5",
        "-vf",
        "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc:range=tv",
        "-c:v",
        "libx264",
        source,
    )
    for codec in ("x264", "x265"):
        with VideoReader(enlarge(source, f"{codec}.mkv", codec=codec)) as reader:
            info = reader.info
            assert (info.bit_depth, info.primaries, info.transfer, info.matrix) == (
                10, "bt2020", "arib-std-b67", "bt2020nc")  # fmt: skip


def test_colours_stay_where_they_were(tmp_path, ffmpeg, enlarge):
    """A flat colour, in either matrix and range, is the same colour afterwards."""
    for tags, filters in ((("bt709", "tv"), "709"), (("smpte170m", "tv"), "601"), (("bt709", "pc"), "full")):
        source = tmp_path / f"{filters}.mp4"
        ffmpeg("-f", "lavfi", "-i", "color=0xC04020:size=48x32:rate=10:duration=0.3", "-vf",
               f"scale=out_color_matrix={tags[0]}:out_range={tags[1]},format=yuv444p", "-colorspace", tags[0],
               "-color_range", tags[1], "-crf", "1", source)  # fmt: skip
        with VideoReader(source) as reader, VideoReader(enlarge(source, source.name, crf=1)) as made:
            want, info = next(iter(reader)).array, reader.info
            got = next(iter(made)).array
            assert (made.info.matrix, made.info.full_range, made.info.chroma) == (info.matrix, info.full_range, "444")
        assert np.abs(got.mean((0, 1)) - want.mean((0, 1))).max() < 4, filters


def test_a_matrix_left_unsaid_is_said_where_the_larger_size_would_change_it(tmp_path, ffmpeg, enlarge):
    """Untagged 368 lines are bt601 to a player, and 736 lines bt709: the colours would move by a dozen levels."""
    for size, matrix in (("64x400", None), ("368x368", "smpte170m")):
        source = tmp_path / f"{size}.mp4"
        ffmpeg("-f", "lavfi", "-i", f"color=0xC04020:size={size}:rate=10:duration=0.1", "-vf", "format=yuv420p",
               "-crf", "1", source)  # fmt: skip
        with VideoReader(source) as given, VideoReader(enlarge(source, source.name, crf=1)) as made:
            assert given.info.matrix is None and made.info.matrix == matrix
            want, got = (next(iter(reader)).array.mean((0, 1)) for reader in (given, made))
        assert np.abs(got - want).max() < 4


def test_a_rotated_phone_clip_stays_rotated(tmp_path, clip, ffmpeg, enlarge):
    source = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", source)
    with VideoReader(source) as given, VideoReader(enlarge(source)) as made:
        assert given.info.rotation != 0
        assert made.info.rotation == given.info.rotation and made.info.display_matrix == given.info.display_matrix


def test_wide_pixels_stay_wide(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "wide.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=0.3,setsar=16/11", "-pix_fmt", "yuv420p", source)
    with VideoReader(enlarge(source)) as made:
        assert made.info.sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize(("size", "count"), [("47x33", 3), ("16x16", 1), ("2x2", 2)])
def test_odd_and_small_sizes_and_one_frame(tmp_path, ffmpeg, enlarge, size, count):
    source = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10", "-frames:v", count, "-vf",
           f"format=yuv444p,crop={size.replace('x', ':')}:exact=1", "-c:v", "ffv1", source)  # fmt: skip
    out = enlarge(source)
    width, height = map(int, size.split("x"))
    with VideoReader(out) as made:
        assert (made.info.width, made.info.height, len(list(made))) == (2 * width, 2 * height, count)


@pytest.mark.parametrize("suffix", ["avi", "webm", "ts", "gif", "mov"])
def test_containers_are_read(tmp_path, clip, ffmpeg, enlarge, suffix):
    source = tmp_path / f"clip.{suffix}"
    ffmpeg("-i", clip, "-t", "0.5", *(("-deadline", "realtime", "-cpu-used", 8) if suffix == "webm" else ()), source)
    with VideoReader(enlarge(source, "out.mkv")) as made:
        assert len(list(made)) == 5


@pytest.mark.parametrize(
    ("codec", "name", "preset"), [("x265", "a.mp4", "ultrafast"), ("av1", "a.mkv", "12"), ("prores", "a.mov", "lt")]
)
def test_encoders(clip, enlarge, codec, name, preset):
    source_times = times(clip)
    out = enlarge(clip, name, codec=codec, encoder_preset=preset, span=Span(0, 1.2))
    assert [float(t) for t in times(out)] == pytest.approx([float(t) for t in source_times[:12]], abs=1e-3)
    with VideoReader(out) as made:
        assert (made.info.width, made.info.height) == (96, 64)
        assert len(list(made)) == 12


def test_pictures(clip, enlarge, tmp_path):
    folder = enlarge(clip, "pictures", codec="png", encoder_preset=None)
    assert [p.name for p in sorted(folder.iterdir())] == [f"{n:08d}.png" for n in range(1, 26)]
    assert not list((tmp_path / "out").glob(".*"))


def test_pictures_of_a_rotated_clip_are_upright(tmp_path, clip, ffmpeg, enlarge):
    source = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", source)
    flat, turned = (
        enlarge(path, path.stem, codec="png", encoder_preset=None) / "00000001.png" for path in (clip, source)
    )
    assert np.array_equal(np.rot90(cv2.imread(str(flat))), cv2.imread(str(turned)))


def test_a_part_of_the_video_begins_at_nought(clip, enlarge):
    assert times(enlarge(clip, span=Span(0.5, 1.5))) == [
        t - Fraction(1, 2) for t in times(clip) if Fraction(1, 2) <= t < Fraction(3, 2)
    ]


def test_a_part_of_a_stream_that_begins_late_is_counted_from_its_begin(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "late.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=2", "-f", "lavfi", "-i", "sine=440:duration=2",
           "-output_ts_offset", 60, "-pix_fmt", "yuv420p", "-c:a", "aac", source)  # fmt: skip
    assert times(source)[0] > 60
    for span, count in ((Span(0.5, 1.5), 10), (Span(0, 0.5), 5)):
        out = enlarge(source, span=span)
        picture, sound = times(out), times(out, "audio")
        assert abs(len(picture) - count) <= 1 and 0 <= picture[0] < 0.2
        assert abs(picture[0] - sound[0]) < 0.11, "sound and picture do not begin together"


def test_a_subtitle_on_screen_at_the_start_stays_on_screen(tmp_path, clip, ffmpeg, enlarge):
    (tmp_path / "words.srt").write_text(
        "1\n00:00:00,200 --> 00:00:01,000\nHello\n\n2\n00:00:01,200 --> 00:00:02,000\nBye\n"
    )
    source = tmp_path / "words.mkv"
    ffmpeg("-i", clip, "-i", tmp_path / "words.srt", "-c:v", "copy", "-c:s", "srt", source)
    with av.open(str(enlarge(source, "out.mkv", span=Span(0.5, 2)))) as made:
        shown = [(p.pts, p.duration, bytes(p)) for p in made.demux(made.streams.subtitles[0]) if p.size]
    assert shown == [(0, 500, b"Hello"), (700, 800, b"Bye")]


def test_side_by_side(clip, enlarge):
    with VideoReader(clip) as given, VideoReader(enlarge(clip, compare=True, crf=1)) as made:
        assert made.info.width == 4 * given.info.width
        left = next(iter(made)).array[:, : 2 * given.info.width : 2][::2]
        assert np.abs(left.astype(int) - next(iter(given)).array).mean() < 12


def test_a_file_is_finished_with_the_gate_of_its_preset(clip, enlarge, monkeypatch):
    made, decides = [], []
    for most in (0.0, 1.0):
        use_gate(monkeypatch, "fast", most=most)
        made.append(payload(enlarge(clip, name=f"{most}.mp4"), "video", 0))
        decides.append(UpscaleJob(clip, clip.with_name("out.mp4"), UpscalerChoice("fast")).decides({}))
    assert made[0] != made[1]
    assert decides[0] != decides[1]  # an interrupted run of the one is not gone on with by the other


def test_a_cascade_enlarges_eightfold(clip, enlarge, weights):
    with VideoReader(enlarge(clip, choice=UpscalerChoice("fast", 8, "cpu", folder=weights), span=Span(0, 0.3))) as made:
        assert (made.info.width, made.info.height) == (8 * 48, 8 * 32)


def test_duplicates_cost_no_inference(tmp_path, clip, ffmpeg, choice):
    source = tmp_path / "twice.mkv"
    ffmpeg("-i", clip, "-vf", "fps=20", "-c:v", "ffv1", source)
    report = upscale_video(UpscaleJob(source, tmp_path / "out.mkv", choice, threads=1))
    assert report.frames == 50 and report.computed <= 26


def test_progress_knows_the_end_of_matroska_too(tmp_path, clip, ffmpeg, choice):
    """It states no number of frames; without a total there is no time left to show."""
    source, totals = tmp_path / "clip.mkv", []
    ffmpeg("-i", clip, "-c", "copy", source)
    upscale_video(UpscaleJob(source, tmp_path / "out.mp4", choice, threads=1), lambda p: totals.append(p.total))
    assert set(totals) == {25}


def unbroken(job: UpscaleJob) -> bytes:
    return upscale_video(job).target.read_bytes()


@pytest.mark.parametrize("steady", [0.0, 0.5])
@pytest.mark.parametrize("stop_after", [3, 10, 24])
def test_a_stopped_run_goes_on_and_gives_the_unbroken_file(clip, choice, tmp_path, steady, stop_after):
    fields = {
        "choice": choice,
        "enhance": EnhanceSettings(steady=steady),
        "threads": 1,
        "segment": 10,
        "encoder_preset": "ultrafast",
    }
    whole = unbroken(UpscaleJob(clip, tmp_path / "a" / "out.mp4", **fields))
    job, token = UpscaleJob(clip, tmp_path / "b" / "out.mp4", **fields), CancelToken()

    def watch(progress):
        if progress.done == stop_after:
            token.cancel()

    with pytest.raises(CancelledError, match="the same command goes on") as stopped:
        upscale_video(job, watch, token)
    assert not job.target.exists()
    report = upscale_video(job)
    assert report.resumed == int(re.search(r"(\d+) frames are kept", str(stopped.value))[1])
    waiting = 2 + DEPTH[1]  # what was enlarged when the run was stopped is still encoded
    assert stop_after // 10 * 10 <= report.resumed <= min(stop_after + waiting, 25)
    assert job.target.read_bytes() == whole
    assert [p.name for p in job.target.parent.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("other", [{"upscaler": "another"}, {"guidance_scale": 3.0}, {"seed": 1}, {"prompt": "a"}])
def test_what_chooses_other_pictures_has_another_key(clip, choice, tmp_path, other, monkeypatch):
    """Also where the weights are the same, or none: a checkpoint of the one is not gone on with by the other."""
    spec = choice.spec
    monkeypatch.setattr("src.upscaling.backends.find_upscaler", lambda _: spec)
    jobs = [UpscaleJob(clip, tmp_path / "out.mp4", each, threads=1) for each in (choice, replace(choice, **other))]
    assert jobs[0].decides({}) != jobs[1].decides({})
    assert jobs[0].decides({})["format"] == 4  # 3: before fields, pulldown and transparency were read


def test_other_settings_do_not_use_what_was_kept(clip, choice, tmp_path):
    token = CancelToken()
    job = UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=1, segment=10)
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == 15 else None, token)
    other = UpscaleJob(clip, tmp_path / "out.mp4", choice, EnhanceSettings(sharpen=0.5), threads=1, segment=10)
    assert upscale_video(other).resumed == 0


def test_a_second_run_on_the_same_output_is_refused(clip, choice, tmp_path):
    from src.upscaling.checkpoint import Checkpoint

    folder = Checkpoint(tmp_path / "out.mp4", {"a": 1})
    (folder.path / "pid").write_text("1")
    with pytest.raises(BadInputError, match="process 1 is writing"):
        Checkpoint(tmp_path / "out.mp4", {"a": 1})


def test_a_lock_whose_process_number_came_again_does_not_count(tmp_path):
    """As after a restart of a container, where numbers begin anew."""
    import os

    from src.upscaling.checkpoint import Checkpoint

    folder = Checkpoint(tmp_path / "out.mp4", {"a": 1})
    (folder.path / "pid").write_text(str(os.getppid()))
    os.utime(folder.path / "pid", (1000, 1000))
    assert Checkpoint(tmp_path / "out.mp4", {"a": 1}).path == folder.path


def test_a_run_that_goes_on_cuts_as_it_began_whatever_memory_is_free_now(clip, choice, tmp_path, monkeypatch):
    """Tiles round otherwise than whole frames, so what is free now must not decide."""
    from src.upscaling import network_backend, runtime

    job, token, used = UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=1, segment=10), CancelToken(), []
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == 15 else None, token)
    monkeypatch.setattr(runtime, "free_memory", lambda _: 1)
    real = network_backend.NetworkBackend.enlarge

    def enlarge(self, *arguments):
        used.append(self.runners[0].budget)
        return real(self, *arguments)

    monkeypatch.setattr(network_backend.NetworkBackend, "enlarge", enlarge)
    upscale_video(job)
    assert used and min(used) > 1 << 20


@pytest.mark.parametrize("steady", [0.0, 0.5])
def test_a_disk_that_is_really_full_is_said(clip, choice, tmp_path, steady):
    with small_disk(tmp_path, 48) as disk:
        job = UpscaleJob(clip, disk / "out.mp4", choice, EnhanceSettings(steady=steady), crf=0, threads=1, segment=10)
        with pytest.raises(OutputError, match="disk is full"):
            upscale_video(job)
        assert not job.target.exists()


def test_a_file_cut_in_the_middle_is_saved_up_to_there(tmp_path, ffmpeg, enlarge):
    whole = tmp_path / "whole.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=4", "-c:v", "ffv1", "-g", 1, whole)
    source = tmp_path / "cut.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(PartialFailureError, match="frames before it are saved"):
        enlarge(source, "out.mkv")
    with VideoReader(tmp_path / "out" / "out.mkv") as made:
        assert 15 < len(list(made)) < 30


def test_a_full_disk_is_said_and_the_rest_is_kept(clip, choice, tmp_path, monkeypatch):
    import errno

    from src.media import segments

    real = segments.SegmentWriter._store
    job = UpscaleJob(clip, tmp_path / "out.mp4", choice, threads=1, segment=10)

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, _):
            raise OSError(errno.ENOSPC, "no space")

        def close(self):
            self.file.close()

    def store(self, packets):
        if self.path.stem == "000001" and not isinstance(self._file, Full):
            self._file = Full(self._file)
        real(self, packets)

    monkeypatch.setattr(segments.SegmentWriter, "_store", store)
    with pytest.raises(OutputError, match="disk is full"):
        upscale_video(job)
    assert not job.target.exists()
    monkeypatch.setattr(segments.SegmentWriter, "_store", real)
    assert upscale_video(job).resumed == 10


def test_bad_input_is_said_in_one_sentence(clip, choice, tmp_path, weights, rich):
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("no video")
    cases = [
        ({"source": tmp_path / "none.mp4"}, MissingFileError, "there is no video"),
        ({"source": empty}, BadInputError, "empty"),
        ({"source": text}, BadInputError, "cannot be read as a video"),
        ({"target": clip}, BadInputError, "is the input itself"),
        ({"target": tmp_path / "a.xyz"}, BadInputError, "goes into .mp4"),
        ({"target": tmp_path}, BadInputError, "is a folder"),
        ({"codec": "h266"}, BadInputError, "x264, x265"),
        ({"codec": "nvenc"}, BadInputError, "no encoder h264_nvenc on this machine"),
        ({"crf": 52.0}, BadInputError, "--crf is 52; for x264 it must be from 0"),
        ({"crf": 3.0, "codec": "png", "target": tmp_path / "p"}, BadInputError, "do not apply to png"),
        ({"span": Span(float("nan"))}, BadInputError, "--start is nan"),
        ({"span": Span(-1)}, BadInputError, "--start is -1"),
        ({"encoder_preset": "warp"}, BadInputError, "ultrafast"),
        ({"span": Span(2, 1)}, BadInputError, "not after"),
        ({"span": Span(100, 101)}, BadInputError, "shows no frame"),
        ({"choice": UpscalerChoice("fast", 3)}, BadInputError, "2, 4 or 8"),
        ({"choice": UpscalerChoice("best", 2)}, BadInputError, "fast, balanced, quality"),
        ({"choice": UpscalerChoice("fast", 2, guidance_scale=7.0, folder=weights)}, BadInputError, "diffusion upscalers only"),
        ({"source": rich}, BadInputError, "name the output out.mkv and nothing is lost"),
    ]  # fmt: skip
    for fields, kind, words in cases:
        usual = {"source": clip, "target": tmp_path / "out.mp4", "choice": choice, "threads": 1}
        with pytest.raises(kind, match=words):
            upscale_video(UpscaleJob(**usual | fields))
    assert not (tmp_path / "out.mp4").exists() and not list(tmp_path.glob(".*"))


def test_an_absurd_size_is_refused(tmp_path, ffmpeg, choice):
    source = tmp_path / "long.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=size=9000x16:rate=10:duration=0.1", "-c:v", "ffv1", source)
    with pytest.raises(BadInputError, match="18000x32.*smaller --scale"):
        upscale_video(UpscaleJob(source, tmp_path / "out.mp4", choice, threads=1))


def test_a_killed_run_goes_on_and_gives_the_unbroken_file(clip, weights, tmp_path):
    """kill -9 in the middle of a segment, in a process of its own."""
    import os
    import signal
    import subprocess
    import sys

    script = """
import os, signal, sys
from pathlib import Path
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video
source, target, weights = map(Path, sys.argv[1:])
job = UpscaleJob(source, target, UpscalerChoice("fast", 2, folder=weights), threads=1, segment=10)
upscale_video(job, lambda p: os.kill(os.getpid(), signal.SIGKILL) if p.done == 17 else None)
"""
    target = tmp_path / "out.mp4"
    done = subprocess.run([sys.executable, "-c", script, clip, target, weights], timeout=120, env=os.environ)
    assert done.returncode == -signal.SIGKILL and not target.exists()
    job = UpscaleJob(clip, target, UpscalerChoice("fast", 2, "cpu", folder=weights), threads=1, segment=10)
    assert upscale_video(job).resumed == 10
    assert target.read_bytes() == unbroken(UpscaleJob(clip, tmp_path / "whole.mp4", job.choice, threads=1, segment=10))
