"""Pictures as they come: transparency, light, matrices,
and what is told where they cannot be kept.
"""

from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from src.media.matrices import rgb_of_ycgco, ycgco_of_rgb
from src.media.reader import VideoReader
from src.media.span import Span

HLG = "color_primaries=bt2020:colorspace=bt2020nc:range=tv:color_trc=arib-std-b67"


DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def card(*options, rate=10, seconds="0.5", size="64x48"):
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}", *options)


def first_frame(path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.fixture
def clear(tmp_path, ffmpeg):
    """Five frames whose left half is clear and whose right half is not."""
    path = tmp_path / "clear.mov"
    ffmpeg(
        *card("-vf", "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,32),0,255)'"),
        "-c:v",
        "png",
        path,
    )
    return path


def _alpha(path, decoder=None) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if decoder is None:
            return next(container.decode(stream)).to_ndarray(format="rgba")[..., 3]
        return next(iter(container.demux(stream))).get_sidedata("matroska_block_additional")


def test_transparency_is_kept_where_the_codec_can(clear, report_of, tmp_path, ffmpeg):
    report = report_of(clear, "a.mov", codec="prores")
    with av.open(str(report.target)) as made:
        assert made.streams.video[0].codec_context.codec_tag == "ap4h"
    ffmpeg("-c:v", "libvpx-vp9", "-i", report_of(clear, "a.webm", codec="vp9").target, "-frames:v",
           1, "-pix_fmt", "rgba", tmp_path / "vp9.png")  # fmt: skip
    pictures = report_of(clear, "pictures", codec="png").target
    read = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 3]
            for path in (tmp_path / "vp9.png", pictures / "00000001.png")]  # fmt: skip
    for alpha in (_alpha(report.target), *read):
        assert alpha[:, :56].max() <= 4 and alpha[:, 72:].min() >= 251


def test_transparency_that_is_lost_is_told(clear, report_of, clip):
    assert any("transparency is not kept by x264" in said for said in report_of(clear).lost)
    assert not report_of(clip).lost


def test_prores_is_444_where_the_picture_is(clear, tmp_path, ffmpeg, report_of):
    source = tmp_path / "444.mkv"
    ffmpeg(*card("-pix_fmt", "yuv444p10le", "-c:v", "ffv1"), source)
    for fields, tag, lost in (({}, "ap4h", 0), ({"encoder_preset": "hq"}, "apch", 1)):
        report = report_of(source, "a.mov", codec="prores", **fields)
        with av.open(str(report.target)) as made:
            assert made.streams.video[0].codec_context.codec_tag == tag and len(report.lost) == lost
    assert "4:4:4 becomes 4:2:2" in report.lost[0]


@pytest.fixture
def hdr(tmp_path, ffmpeg):
    path = tmp_path / "hdr.mp4"
    pq = HLG.replace("arib-std-b67", "smpte2084")
    ffmpeg(*card("-vf", f"format=yuv420p10le,setparams={pq}"), "-c:v", "libx265", "-preset",
           "ultrafast", "-x265-params",
           f"log-level=error:chromaloc=2:max-cll=1000,400:master-display={DISPLAY}",
           path)  # fmt: skip
    return path


def test_hdr10_metadata_and_chroma_location_are_carried(hdr, report_of):
    with VideoReader(hdr) as reader:
        given = reader.info
    assert given.mastering and given.light == (1000, 400) and given.chroma_location == "topleft"
    for codec in ("x264", "x265", "av1"):
        report = report_of(hdr, "a.mp4", codec=codec)
        with VideoReader(report.target) as reader:
            made = reader.info
        pairs = [
            (m.mastering[n] / m.mastering[n + 1]) for m in (given, made) for n in range(0, 20, 2)
        ]
        assert pairs[:10] == pytest.approx(pairs[10:], abs=1e-4), codec
        assert (made.light, made.chroma_location, report.lost) == (given.light, "topleft", []), (
            codec
        )


def test_hdr10_metadata_that_are_lost_are_told(hdr, report_of):
    report = report_of(hdr, "a.mov", codec="prores")
    metadata = "HDR10 metadata (mastering display, light level)"
    assert report.lost == [f"{metadata} are not kept by prores_ks; x265, x264 and av1 keep them"]
    frame = first_frame(report.target)
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 9)


def test_dolby_vision_is_told(hdr, report_of, monkeypatch):
    """No encoder here writes it, so the header is said to hold it."""
    from src.media import reader

    real = reader.describe_stream
    monkeypatch.setattr(
        reader, "describe_stream", lambda *given: replace(real(*given), dolby_vision=True)
    )
    assert "Dolby Vision metadata are not kept" in report_of(hdr).lost[0]


def test_hdr_pictures_say_so(hdr, report_of):
    data = (report_of(hdr, "pictures", codec="png").target / "00000001.png").read_bytes()
    assert data[33:49] == b"\0\0\0\4cICP\x09\x10\x00\x01" + data[45:49]
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_fewer_bits_are_told(hdr, report_of):
    assert "10 bits become 8 with vp9" in report_of(hdr, "a.webm", codec="vp9").lost


def test_hevc_in_mp4_and_mov_is_tagged_hvc1(clip, report_of):
    for name in ("a.mp4", "a.mov"):
        with av.open(str(report_of(clip, name, codec="x265", span=Span(0, 0.3)).target)) as made:
            assert made.streams.video[0].codec_context.codec_tag == "hvc1"


def test_a_gif_becomes_what_players_play(tmp_path, ffmpeg, report_of):
    source = tmp_path / "a.gif"
    ffmpeg(*card(), source)
    frame = first_frame(report_of(source).target)
    assert frame.format.name == "yuv420p"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("full", [True, False])
def test_ycgco_there_and_back(kind, full):
    most = np.iinfo(kind).max
    rgb = np.random.default_rng(0).integers(0, most, (16, 16, 3), endpoint=True).astype(kind)
    back = rgb_of_ycgco(ycgco_of_rgb(rgb, full), full)
    # rounding, doubled by the sums
    assert np.abs(back.astype(int) - rgb).max() <= (4 if kind == np.uint8 else 8)


@pytest.mark.parametrize("layout", ["yuv444p", "yuv420p10le"])
def test_ycgco_keeps_its_colours_and_its_tag(tmp_path, report_of, layout):
    colour = np.zeros((32, 48, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, layout
        stream.codec_context.colorspace = 8
        for number in range(3):
            planes = np.ascontiguousarray(np.moveaxis(ycgco_of_rgb(colour, False), -1, 0))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv444p").reformat(format=layout)
            frame.pts, frame.time_base, frame.colorspace = number, Fraction(1, 10), 8
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoReader(report_of(tmp_path / "a.mkv", crf=1).target) as made:
        assert made.info.matrix == "ycgco"
        assert np.abs(next(iter(made)).array.mean((0, 1)) - colour[0, 0]).max() < 5


def test_a_matrix_that_is_not_computed_is_told_and_its_colours_stay(tmp_path, ffmpeg, report_of):
    plain, source = tmp_path / "plain.mp4", tmp_path / "a.mp4"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=0xC04020:size=64x48:rate=10:duration=0.3",
        "-pix_fmt",
        "yuv444p",
        "-crf",
        1,
        plain,
    )
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=14", source)
    report = report_of(source, crf=1)
    assert report.lost == [
        "the colour matrix ictcp is computed as that of BT.2020; its tag is kept"
    ]
    with VideoReader(source) as given, VideoReader(report.target) as made:
        assert made.info.matrix == given.info.matrix == "ictcp"
        want, got = (next(iter(reader)).array.astype(int) for reader in (given, made))
        assert np.abs(want.mean((0, 1)) - got.mean((0, 1))).max() < 4


@pytest.fixture(params=["libvpx", "libvpx-vp9"])
def beside(request, tmp_path, ffmpeg):
    """A clip whose transparency lies beside its pictures; its codec's decoder."""
    source = tmp_path / "clear.webm"
    wanted = "format=yuva420p,geq=lum='lum(X,Y)':a='if(lt(X,32),0,200)'"
    ffmpeg(
        *card("-vf", wanted),
        "-c:v",
        request.param,
        "-auto-alt-ref",
        0,
        "-pix_fmt",
        "yuva420p",
        source,
    )
    with av.open(str(source)) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"
    return source


def test_transparency_that_lies_beside_the_picture_is_kept(beside, report_of):
    report = report_of(beside, "a.mov", codec="prores")
    assert not any("transparency" in sentence for sentence in report.lost)
    alpha = _alpha(report.target).astype(int)
    assert alpha[:, :56].max() <= 8
    assert np.abs(alpha[:, 72:] - 200).max() <= 8
    report = report_of(beside, "b.mkv")
    assert any("transparency is not kept by x264" in sentence for sentence in report.lost)


def test_transparency_that_cannot_be_read_is_told_and_its_tag_left_out(
    beside, report_of, monkeypatch
):
    monkeypatch.setattr("src.media.streams.BESIDE", {})
    report = report_of(beside, "a.mkv")
    assert any("transparency lies beside the picture" in sentence for sentence in report.lost)
    with av.open(str(report.target)) as container:
        assert "alpha_mode" not in {name.lower() for name in container.streams.video[0].metadata}
