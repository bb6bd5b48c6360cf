"""What an enlarged video keeps of its source: tracks, times, chapters, colours, sides."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.errors import BadInputError
from src.media.reader import VideoReader
from src.media.span import Span
from src.upscaling.job import UpscaleJob

from .conftest import payload, times


def test_vfr_times_sound_subtitles_chapters_and_metadata_are_kept(rich, enlarge):
    out = enlarge(rich, "out.mkv")
    assert times(out) == times(rich)
    assert len(set(np.diff([float(t) for t in times(out)]).round(3))) > 1, (
        "the sample was not at a variable rate"
    )
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
            (c["metadata"]["title"], c["start"] * c["time_base"], c["end"] * c["time_base"])
            for c in made.chapters()
        ]
    assert names == [("One", 0, 1), ("Two", 1, Fraction("2.4"))]


@pytest.fixture(scope="module")
def cover(tmp_path_factory, clip, ffmpeg) -> Path:
    """A picture to show for a file."""
    path = tmp_path_factory.mktemp("cover") / "cover.png"
    ffmpeg("-i", clip, "-frames:v", 1, path)
    return path


@pytest.mark.parametrize(
    ("given", "made"), [("mp4", "mp4"), ("mkv", "mkv"), ("mp4", "mkv"), ("mkv", "mp4")]
)
def test_a_cover_picture_and_a_second_video_track_are_kept(
    tmp_path, clip, cover, ffmpeg, enlarge, given, made
):
    source = tmp_path / f"cover.{given}"
    attached = (
        "-attach",
        cover,
        "-metadata:s:t",
        "mimetype=image/png",
        "-metadata:s:t",
        "filename=cover.png",
    )
    shown = ("-map", 1, "-disposition:v:2", "attached_pic")
    ffmpeg("-i", clip, "-i", cover, "-map", "0:v", "-map", "0:v",
           *(attached if given == "mkv" else shown), "-c", "copy", source)  # fmt: skip
    whole, part = (
        enlarge(source, f"out.{made}"),
        enlarge(source, f"part.{made}", span=Span(0.5, 1.5)),
    )
    for out in (whole, part):
        with av.open(str(out)) as container:
            covers = [
                s.index
                for s in container.streams.video
                if s.disposition & av.stream.Disposition.attached_pic
            ]
            assert len(covers) == 1 and len(container.streams.video) == 3
            packets = container.demux(container.streams[covers[0]])
            assert next(bytes(packet) for packet in packets if packet.size) == cover.read_bytes()
    assert payload(source, "video", 0) in [payload(whole, "video", number) for number in range(3)]


def test_what_a_container_does_not_hold_is_refused_with_one_that_does(
    tmp_path, clip, cover, ffmpeg, enlarge
):
    (tmp_path / "words.srt").write_text("1\n00:00:00,200 --> 00:00:01,000\nHello\n")
    source = tmp_path / "words.mp4"
    ffmpeg("-i", clip, "-i", tmp_path / "words.srt", "-c:v", "copy", "-c:s", "mov_text", source)
    with pytest.raises(
        BadInputError, match=r"holds no mov_text subtitle.*name the output out\.mp4"
    ):
        enlarge(source, "out.mkv")
    ffmpeg(
        "-i",
        clip,
        "-i",
        cover,
        "-map",
        0,
        "-map",
        1,
        "-c",
        "copy",
        "-disposition:v:1",
        "attached_pic",
        source,
    )
    job = UpscaleJob(source, tmp_path / "out.mov")
    assert job.tracks() == ["cover picture 1 (png) is left out: .mov does not hold it"]


def test_sound_stays_beside_its_picture_in_mp4(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=48x32:rate=30000/1001:duration=2", "-f", "lavfi",
           "-i", "sine=440:duration=2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata",
           "title=Rain", source)  # fmt: skip
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
        "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=arib-std-b67"
        ":colorspace=bt2020nc:range=tv",
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
    for tags, filters in (
        (("bt709", "tv"), "709"),
        (("smpte170m", "tv"), "601"),
        (("bt709", "pc"), "full"),
    ):
        source = tmp_path / f"{filters}.mp4"
        ffmpeg("-f", "lavfi", "-i", "color=0xC04020:size=48x32:rate=10:duration=0.3", "-vf",
               f"scale=out_color_matrix={tags[0]}:out_range={tags[1]},format=yuv444p",
               "-colorspace", tags[0], "-color_range", tags[1], "-crf", "1", source)  # fmt: skip
        with (
            VideoReader(source) as reader,
            VideoReader(enlarge(source, source.name, crf=1)) as made,
        ):
            want, info = next(iter(reader)).array, reader.info
            got = next(iter(made)).array
            assert (made.info.matrix, made.info.full_range, made.info.chroma) == (
                info.matrix,
                info.full_range,
                "444",
            )
        assert np.abs(got.mean((0, 1)) - want.mean((0, 1))).max() < 4, filters


def test_a_matrix_left_unsaid_is_said_where_the_larger_size_would_change_it(
    tmp_path, ffmpeg, enlarge
):
    """Untagged 368 lines are bt601 to a player, and 736 lines bt709: the colours would move by a
    dozen levels.
    """
    for size, matrix in (("64x400", None), ("368x368", "smpte170m")):
        source = tmp_path / f"{size}.mp4"
        ffmpeg("-f", "lavfi", "-i", f"color=0xC04020:size={size}:rate=10:duration=0.1", "-vf",
               "format=yuv420p", "-crf", "1", source)  # fmt: skip
        with VideoReader(source) as given, VideoReader(enlarge(source, source.name, crf=1)) as made:
            assert given.info.matrix is None and made.info.matrix == matrix
            want, got = (next(iter(reader)).array.mean((0, 1)) for reader in (given, made))
        assert np.abs(got - want).max() < 4


def test_a_rotated_phone_clip_stays_rotated(tmp_path, clip, ffmpeg, enlarge):
    source = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", source)
    with VideoReader(source) as given, VideoReader(enlarge(source)) as made:
        assert given.info.rotation != 0
        assert (
            made.info.rotation == given.info.rotation
            and made.info.display_matrix == given.info.display_matrix
        )


def test_wide_pixels_stay_wide(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "wide.mp4"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=48x32:rate=10:duration=0.3,setsar=16/11",
        "-pix_fmt",
        "yuv420p",
        source,
    )
    with VideoReader(enlarge(source)) as made:
        assert made.info.sample_aspect_ratio == Fraction(16, 11)


def test_a_part_of_the_video_begins_at_nought(clip, enlarge):
    assert times(enlarge(clip, span=Span(0.5, 1.5))) == [
        t - Fraction(1, 2) for t in times(clip) if Fraction(1, 2) <= t < Fraction(3, 2)
    ]


def test_a_part_of_a_stream_that_begins_late_is_counted_from_its_begin(tmp_path, ffmpeg, enlarge):
    source = tmp_path / "late.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=2", "-f", "lavfi", "-i",
           "sine=440:duration=2", "-output_ts_offset", 60, "-pix_fmt", "yuv420p", "-c:a", "aac",
           source)  # fmt: skip
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
        shown = [
            (p.pts, p.duration, bytes(p)) for p in made.demux(made.streams.subtitles[0]) if p.size
        ]
    assert shown == [(0, 500, b"Hello"), (700, 800, b"Bye")]
