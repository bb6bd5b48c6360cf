"""Footage as it comes from real life: what an output keeps of it,
and what is told where it cannot.
"""

import os

import av
import cv2
import numpy as np
import pytest

from src.core.errors import BadInputError, CancelledError, PartialFailureError
from src.core.progress import CancelToken
from src.media.encoders import find_encoder
from src.media.frames import Frame
from src.media.reader import VideoReader
from src.media.segments import SegmentWriter, VideoFormat, read_packets
from src.media.span import Span
from src.upscaling.checkpoint import left_by_a_run
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video

TRIPLETS = bytes.fromhex("fc9420fcc8e9")


def card(*options, rate=10, seconds="0.5", size="64x48"):
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}", *options)


def first_frame(path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def _captioned(folder, codec: str, count: int = 4) -> bytes:
    """A raw stream whose n-th picture has n + 1 pairs of triplets."""
    with VideoReader(folder / "plain.mp4") as reader:
        frames, info = list(reader)[:count], reader.info
    encoder = find_encoder(codec)
    video = VideoFormat(encoder, (("bf", "2"),), info, info.width, info.height, "yuv420p")
    writer = SegmentWriter(folder, 0, video)
    for number, frame in enumerate(frames):
        writer.write(
            Frame(frame.array, frame.pts, frame.duration, captions=TRIPLETS * (number + 1))
        )
    writer.finish()
    return bytes(writer._context.extradata) + b"".join(
        packet.data for packet in read_packets(folder, 1)
    )


def _captions(path) -> list[int]:
    with av.open(str(path)) as container:
        found = [frame.side_data.get("A53_CC") for frame in container.decode(video=0)]
    assert all(data is None or bytes(data) == TRIPLETS * (len(bytes(data)) // 6) for data in found)
    return [len(bytes(data)) // 6 if data is not None else 0 for data in found]


@pytest.mark.parametrize(("codec", "suffix"), [("x264", ".h264"), ("x265", ".hevc")])
def test_captions_inside_the_pictures_stay_with_them(tmp_path, ffmpeg, report_of, codec, suffix):
    ffmpeg(*card("-pix_fmt", "yuv420p"), tmp_path / "plain.mp4")
    source = tmp_path / f"captions{suffix}"
    source.write_bytes(_captioned(tmp_path, codec))
    assert _captions(source) == [1, 2, 3, 4]
    for other in ("x264", "x265"):
        report = report_of(source, "a.mp4", codec=other)
        assert _captions(report.target) == [1, 2, 3, 4] and not report.lost
    assert (
        "closed captions inside the pictures are not kept by av1"
        in report_of(source, "a.mkv", codec="av1").lost[0]
    )


def test_captions_of_an_interlaced_picture_come_once(tmp_path, ffmpeg, report_of):
    ffmpeg(*card("-pix_fmt", "yuv420p"), tmp_path / "plain.mp4")
    source, woven = tmp_path / "captions.h264", tmp_path / "woven.h264"
    source.write_bytes(_captioned(tmp_path, "x264"))
    ffmpeg("-i", source, "-vf", "setfield=tff", "-c:v", "libx264", "-flags", "+ilme+ildct",
           "-fps_mode", "passthrough", woven)  # fmt: skip
    assert _captions(woven) == [1, 2, 3, 4]
    assert _captions(report_of(woven).target) == [1, 0, 2, 0, 3, 0, 4, 0]
    assert _captions(report_of(woven, interlaced="frame").target) == [1, 2, 3, 4]


def test_a_track_that_nothing_takes_is_left_out_with_its_name(tmp_path, ffmpeg, report_of):
    source = tmp_path / "phone.mov"
    ffmpeg(*card("-f", "lavfi", "-i", "sine=440:duration=0.5", "-f", "lavfi", "-i",
                 "sine=880:duration=0.5"), "-map", 0,
           "-map", 1, "-map", 2, "-pix_fmt", "yuv420p", "-c:a:0", "aac", "-c:a:1", "pcm_s16le",
           source)  # fmt: skip
    source.write_bytes(source.read_bytes().replace(b"sowt", b"apac"))
    for name in ("a.mov", "a.mkv", "a.mp4"):
        report = report_of(source, name)
        assert report.lost == [f"audio track 2 (apac) is left out: {name[1:]} does not hold it"]
        with av.open(str(report.target)) as made:
            assert [s.codec_context.name for s in made.streams.audio] == ["aac"]


def test_chapters_of_quicktime_are_kept_and_not_said_to_be_lost(tmp_path, ffmpeg, report_of):
    words, source = tmp_path / "chapters.txt", tmp_path / "a.mp4"
    words.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n")
    ffmpeg(*card("-i", words), "-map_metadata", 1, "-pix_fmt", "yuv420p", source)
    for name in ("a.mp4", "a.mkv"):
        report = report_of(source, name)
        with av.open(str(report.target)) as made:
            assert [chapter["metadata"]["title"] for chapter in made.chapters()] == [
                "One"
            ] and not report.lost


@pytest.mark.parametrize(
    ("name", "key"), [("a.mov", "timecode"), ("a.mp4", "timecode"), ("a.mkv", "TIMECODE")]
)
def test_timecode_moves_with_the_start(tmp_path, ffmpeg, report_of, name, key):
    source = tmp_path / "counted.mov"
    ffmpeg(*card("-pix_fmt", "yuv420p", "-timecode", "10:00:00:00", rate=25, seconds=1), source)
    for span, code in ((Span(), "10:00:00:00"), (Span(0.52), "10:00:00:13")):
        report = report_of(source, name, span=span)
        with av.open(str(report.target)) as made:
            assert made.streams.video[0].metadata[key] == code and not report.lost
            assert len([s for s in made.streams if s.type == "data"]) == (
                0 if name == "a.mkv" else 1
            )


def test_a_stream_that_begins_late_comes_out_at_nought_with_its_sound(tmp_path, ffmpeg, report_of):
    source = tmp_path / "late.ts"
    ffmpeg(*card("-f", "lavfi", "-i", "sine=440:duration=0.5"), "-output_ts_offset", 50_000,
           "-pix_fmt", "yuv420p", "-c:a", "aac", source)  # fmt: skip
    offsets = []
    for path in (source, report_of(source, "a.mp4").target, report_of(source, "a.mkv").target):
        begins = [min(times) for times in _packets(path).values()]
        offsets.append(begins[0] - begins[1])
        assert path == source or -0.03 < min(begins) < 0.03
    assert offsets == pytest.approx([offsets[0]] * 3, abs=0.0015)


def test_joined_recordings_keep_all_frames_and_their_sound_beside_them(tmp_path, ffmpeg, report_of):
    for number, offset in enumerate((30, 0)):
        ffmpeg(*card("-f", "lavfi", "-i", "sine=440:duration=1", seconds=1), "-output_ts_offset",
               offset, "-c:v", "mpeg2video", "-bf", 0, "-c:a", "aac",
               tmp_path / f"{number}.ts")  # fmt: skip
    source = tmp_path / "joined.ts"
    source.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    report = report_of(source, "a.mkv")
    times = _packets(report.target)
    assert any("its clock jumps at one place;" in sentence for sentence in report.lost)
    assert len(times["video"]) == 20 and times["video"][-1] < 2.2
    later = next(t for t in times["video"] if t > 1.0) - next(t for t in times["audio"] if t > 1.0)
    assert abs(later) < 0.13 and max(np.diff(times["audio"])) < 0.1


def test_recordings_that_overlap_a_little_are_written_whole(tmp_path, ffmpeg, report_of):
    """40 ms, too little to be a joint: sound that is copied must not go back all the same."""
    for number, offset in enumerate((30, 30.46)):
        ffmpeg(*card("-f", "lavfi", "-i", "sine=440:duration=0.5"), "-output_ts_offset", offset,
               "-c:v", "libx264", "-c:a", "mp2", tmp_path / f"{number}.ts")  # fmt: skip
    source = tmp_path / "joined.ts"
    source.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    report = report_of(source, "a.mp4")
    times = _packets(report.target)
    assert report.frames == len(times["video"]) == 10
    assert np.diff(times["audio"]).min() > 0


def _packets(path) -> dict[str, list[float]]:
    """Times of the packets of each kind of track, picture first."""
    times: dict[str, list[float]] = {"video": [], "audio": []}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                times[packet.stream.type].append(float(packet.pts * packet.time_base))
    return {kind: sorted(found) for kind, found in times.items()}


def test_what_a_damaged_source_lost_besides_is_told_too(tmp_path, ffmpeg, report_of):
    whole, source = tmp_path / "whole.mkv", tmp_path / "half.mkv"
    ffmpeg(
        *card("-vf", "interlace=scan=tff", seconds=2),
        "-flags",
        "+ilme+ildct",
        "-c:v",
        "mpeg2video",
        whole,
    )
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(PartialFailureError, match=r"are saved in .*each field becomes a picture"):
        report_of(source, "a.mkv")


def test_a_change_of_size_or_format_is_scaled_to_the_first_and_told(tmp_path, ffmpeg, report_of):
    kinds = (("64x48", "yuv420p"), ("96x64", "yuv422p"), ("64x48", "yuv420p10le"))
    parts = [tmp_path / f"{number}.h264" for number in range(3)]
    for path, (size, layout) in zip(parts, kinds, strict=True):
        ffmpeg(*card("-pix_fmt", layout, size=size), path)
    source = tmp_path / "changes.h264"
    source.write_bytes(b"".join(path.read_bytes() for path in parts))
    report = report_of(source)
    assert report.frames == 15 and (report.width, report.height) == (128, 96)
    assert "the picture is 96x64, not 64x48; it is scaled to the first size" in report.lost[0]
    for layout in ("yuv422p", "yuv420p10le"):
        assert any(f"its pixels are {layout}, not yuv420p" in sentence for sentence in report.lost)


def test_a_source_that_is_replaced_while_it_runs_ends_with_a_sentence(tmp_path, clip, choice):
    source = tmp_path / "clip.mp4"
    source.write_bytes(clip.read_bytes())
    job = UpscaleJob(source, tmp_path / "out.mp4", choice, threads=1, segment=10)

    def replace_it(progress):
        if progress.done == 12:
            (tmp_path / "new.mp4").write_bytes(clip.read_bytes())
            (tmp_path / "new.mp4").replace(source)
            os.utime(source, (1, 1))

    with pytest.raises(BadInputError, match="was replaced or changed while it was read"):
        upscale_video(job, replace_it)
    assert not job.target.exists() and not left_by_a_run(job.target)


def test_what_was_left_of_a_replaced_source_is_swept(tmp_path, clip, choice):
    source, token = tmp_path / "clip.mp4", CancelToken()
    source.write_bytes(clip.read_bytes())
    job = UpscaleJob(source, tmp_path / "out.mp4", choice, threads=1, segment=10)
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == 12 else None, token)
    assert len(left_by_a_run(job.target)) == 1
    os.utime(source, (1, 1))
    assert upscale_video(job).resumed == 0
    assert not left_by_a_run(job.target)


def test_pictures_of_wide_pixels_are_wide(tmp_path, ffmpeg, report_of):
    source = tmp_path / "wide.mp4"
    ffmpeg(*card("-vf", "setsar=2/1", "-pix_fmt", "yuv420p"), source)
    report = report_of(source, "pictures", codec="png")
    shown = cv2.imread(str(report.target / "00000001.png")).shape
    assert shown == (96, 256, 3) and (report.width, report.height) == (256, 96)


def test_refused_amid_a_video_keeps_what_came_before(tmp_path, ffmpeg, report_of):
    plain, woven, source = (tmp_path / name for name in ("a.m2v", "b.m2v", "both.m2v"))
    ffmpeg(*card(rate=25, seconds=1), "-c:v", "mpeg2video", "-bf", 0, plain)
    ffmpeg(
        *card("-vf", "tinterlace=interleave_top", rate=50),
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        woven,
    )
    source.write_bytes(plain.read_bytes() + woven.read_bytes())
    with pytest.raises(PartialFailureError, match="interlaced.*frames before it are saved"):
        report_of(source, interlaced="refuse")


@pytest.mark.parametrize(
    "layout", ["bgr4", "pal8", "monob", "gbrpf32le", "xyz12le", "ya16le", "yuv410p"]
)
def test_every_pixel_format_is_read_or_told(tmp_path, ffmpeg, report_of, layout):
    """Of some two hundred that FFmpeg writes, only 4-bit RGB is not read."""
    source = tmp_path / "a.nut"
    ffmpeg(*card("-pix_fmt", layout, "-c:v", "rawvideo", size="32x32"), source)
    if layout == "bgr4":
        with pytest.raises(BadInputError, match="pixels of the format bgr4 cannot be read"):
            report_of(source)
    else:
        assert report_of(source, "a.mkv").frames == 5


def test_tags_that_are_no_utf8_stay_as_they_are(tmp_path, clip, ffmpeg, report_of):
    source = tmp_path / "old.avi"
    ffmpeg("-i", clip, "-metadata", "title=caf\udce9", "-c:v", "mpeg4", source)
    with av.open(str(report_of(source, "a.mkv").target), metadata_errors="surrogateescape") as made:
        assert made.metadata["title"] == "caf\udce9"


def test_pictures_of_an_earlier_run_do_not_stay_among_those_of_the_next(
    tmp_path, ffmpeg, report_of
):
    for name, seconds in (("long", "1"), ("short", "0.3")):
        ffmpeg(*card(seconds=seconds), tmp_path / f"{name}.mp4")
    assert report_of(tmp_path / "long.mp4", "pictures", codec="png").frames == 10
    (tmp_path / "out" / "pictures" / "holiday.png").write_bytes(b"a person's")
    assert report_of(tmp_path / "short.mp4", "pictures", codec="png").frames == 3
    left = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert left == ["00000001.png", "00000002.png", "00000003.png", "holiday.png"]
