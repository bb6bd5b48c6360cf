"""Small videos of every kind that the FFmpeg of the tests makes: containers x codecs x flags.

`python -m tests.media.zoo FOLDER` writes them all. A case says what is true of it, so that a test
can ask whether a command keeps it.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

COUNT, RATE, SIZE = 5, 25, "64x48"
"""Frames of a case, frames a second, size, where a case says nothing else."""


@dataclass(frozen=True)
class Case:
    """name: of the file. codec: FFmpeg's encoder. sound: encoder of a sound track, None for none.
    options: more of the command. before: options ahead of the picture's input. filters: of the
    picture. fields: whether it is interlaced. tags: attributes of `VideoInfo` that the file must
    have and its enlargement must keep. frames: how many, None where the encoder leaves some out.
    """

    name: str
    codec: str
    sound: str | None = None
    options: tuple = ()
    filters: str = "null"
    size: str = SIZE
    rate: int | str = RATE
    fields: bool = False
    frames: int | None = COUNT
    tags: dict = field(default_factory=dict)


YUV = ("-pix_fmt", "yuv420p")
X264 = ("-preset", "ultrafast", *YUV)
BT2020 = "color_primaries=bt2020:colorspace=bt2020nc:range=tv"
WOVEN = ("-flags", "+ilme+ildct")
LATE = ("-output_ts_offset", "50000")


def _plain() -> list[Case]:
    """Containers x codecs, each as its maker would write it."""
    pairs = {
        "mp4": ("libx264", "mpeg4", "mjpeg", "libvpx-vp9"),
        "mov": ("libx264", "png", "qtrle", "mjpeg", "prores_ks"),
        "mkv": ("ffv1", "huffyuv", "utvideo", "libvpx", "libtheora", "rawvideo", "snow"),
        "webm": ("libvpx",), "avi": ("mpeg4", "mjpeg", "msmpeg4", "huffyuv", "cinepak"),
        "flv": ("flv", "libx264"), "wmv": ("wmv2",), "ts": ("libx264", "mpeg2video"),
        "m2ts": ("libx264",), "MTS": ("libx264",), "mpg": ("mpeg1video", "mpeg2video"),
        "vob": ("mpeg2video",), "ogv": ("libtheora",), "3gp": ("mpeg4",), "mxf": ("mpeg2video",),
        "nut": ("mpeg4",), "m4v": ("mpeg4",), "h264": ("libx264",), "m2v": ("mpeg2video",),
        "y4m": ("wrapped_avframe",), "asf": ("msmpeg4",), "gif": ("gif",), "apng": ("apng",),
        "ivf": ("libvpx",), "mjpeg": ("mjpeg",), "swf": ("flv",), "wtv": ("mpeg2video",),
        "f4v": ("libx264",), "rm": ("rv20",),
    }  # fmt: skip
    return [_one(suffix, codec) for suffix, codecs in pairs.items() for codec in codecs]


def _one(suffix: str, codec: str) -> Case:
    sounds = {"mp4": "aac", "mov": "pcm_s16le", "mkv": "flac", "webm": "libopus", "avi": "mp3",
              "flv": "mp3", "wmv": "wmav2", "ts": "ac3", "m2ts": "ac3", "MTS": "ac3", "mpg": "mp2",
              "vob": "ac3", "ogv": "libvorbis", "3gp": "aac", "mxf": "pcm_s16le",
              "nut": "pcm_s16le", "asf": "wmav2", "f4v": "aac", "wtv": "mp2"}  # fmt: skip
    layouts = {"png": "rgb24", "qtrle": "rgb24", "gif": "rgb8", "apng": "rgb24",
               "prores_ks": "yuv422p10le", "mjpeg": "yuvj420p", "huffyuv": "yuv422p",
               "cinepak": "rgb24", "rawvideo": "yuv420p"}  # fmt: skip
    options = (
        "-pix_fmt",
        layouts.get(codec, "yuv420p"),
        *(("-strict", "-2") if codec == "snow" else ()),
    )
    options += ("-preset", "ultrafast") if codec == "libx264" else ("-b:v", "400k")
    options += ("-deadline", "realtime", "-cpu-used", "8") if codec.startswith("libvpx") else ()
    return Case(f"{codec}.{suffix}", codec, sounds.get(suffix), options,
                frames=None if codec in ("libtheora", "cinepak") else COUNT)  # fmt: skip


def _flagged() -> list[Case]:
    """What a file may say of its pictures, and what may be odd about their times."""
    hlg = f"format=yuv420p10le,setparams={BT2020}:color_trc=arib-std-b67"
    pq = f"format=yuv420p10le,setparams={BT2020}:color_trc=smpte2084"
    weave = "tinterlace=interleave_top"
    return [
        Case("tff.mpg", "mpeg2video", "mp2", (*YUV, *WOVEN), weave, rate=50, fields=True),
        Case("tff.MTS", "libx264", "ac3", (*X264, "-flags", "+ilme+ildct"), weave, rate=50,
             fields=True),
        Case("bff.mkv", "libx264", None, (*X264, "-x264-params", "bff=1"),
             "tinterlace=interleave_bottom", rate=50, fields=True),
        Case("pal.dv", "dvvideo", "pcm_s16le", ("-pix_fmt", "yuv420p", "-ar", 48000, "-ac", 2),
             size="720x576", fields=True, frames=2),
        Case("late.ts", "libx264", "aac", (*X264, *LATE)),
        Case("film.mov", "libx264", None, X264, rate="24000/1001"),
        Case("vfr.mkv", "libx264", None, (*X264, "-fps_mode", "passthrough"),
             "setpts='PTS+mod(N,3)*0.01/TB'"),
        Case("dropped.avi", "mpeg4", None, (*YUV, "-fps_mode", "passthrough"),
             "select='not(between(n,1,2))'", frames=3),
        Case("reordered.mp4", "libx264", "aac", (*YUV, "-bf", 3)),
        Case("one.mp4", "libx264", None, X264, frames=1),
        Case("hlg.mp4", "libx265", None, ("-preset", "ultrafast", "-x265-params",
                                          "log-level=error"), hlg,
             tags={"transfer": "arib-std-b67", "primaries": "bt2020", "matrix": "bt2020nc",
                   "bit_depth": 10}),
        Case("pq.mkv", "libx264", None, ("-preset", "ultrafast"), pq,
             tags={"transfer": "smpte2084", "bit_depth": 10}),
        Case("full.mp4", "libx264", None, X264, "scale=out_range=pc,setparams=range=pc",
             tags={"full_range": True}),
        Case("bt709.mp4", "libx264", None, X264,
             "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709",
             tags={"primaries": "bt709", "transfer": "bt709", "matrix": "bt709"}),
        Case("wide.mp4", "libx264", None, X264, "setsar=16/11"),
        Case("444.mkv", "libx264", None, ("-preset", "ultrafast", "-pix_fmt", "yuv444p"),
             tags={"chroma": "444"}),
        Case("422-10.mov", "libx264", None, ("-preset", "ultrafast", "-pix_fmt", "yuv422p10le"),
             tags={"chroma": "422", "bit_depth": 10}),
        Case("grey.mkv", "ffv1", None, ("-pix_fmt", "gray")),
        Case("clear.mov", "prores_ks", None, ("-pix_fmt", "yuva444p10le", "-profile:v", "4444"),
             tags={"alpha": True}),
        Case("clear.webm", "libvpx-vp9", None,
             ("-pix_fmt", "yuva420p", "-auto-alt-ref", 0, "-cpu-used", 8)),
        Case("topleft.mp4", "libx264", None, (*X264, "-x264-params", "chromaloc=2"),
             tags={"chroma_location": "topleft"}),
        Case("odd.mkv", "ffv1", None, ("-pix_fmt", "yuv444p"), "crop=47:33:exact=1"),
        Case("counted.mov", "libx264", None, (*X264, "-timecode", "10:00:00:00")),
    ]  # fmt: skip


PLAIN = _plain()
CASES = {case.name: case for case in (*PLAIN, *_flagged())}


def build(case: Case, folder: Path) -> Path | None:
    """Write a case; None where this FFmpeg has no such encoder or muxer."""
    path = folder / case.name
    woven = 2 if "tinterlace" in case.filters else 1
    source = f"testsrc2=size={case.size}:rate={case.rate}"
    count = COUNT if case.frames is None or "select" in case.filters else case.frames
    seconds = f"{count / RATE:.3f}"
    sound = ["-f", "lavfi", "-i", f"sine=440:duration={seconds}"] if case.sound else []
    coded = (
        ["-c:a", case.sound, "-ar", 48000 if case.sound not in ("mp3", "aac") else 44100]
        if case.sound
        else []
    )
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-f", "lavfi",
               "-i", source, *sound, "-vf", f"trim=end_frame={count * woven},{case.filters}",
               "-c:v", case.codec, *case.options, *coded,
               *(["-strict", "-2"] if case.sound == "libvorbis" else []),
               f"file:{path}"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=60, text=True)
    if done.returncode:
        path.unlink(missing_ok=True)
        if not any(
            word in done.stderr
            for word in ("Unknown encoder", "Unable to choose", "Unable to find")
        ):
            raise AssertionError(f"{case.name} was not made: {done.stderr}")
        return None
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for item in CASES.values():
        print(build(item, target) or f"{item.name}: not made here")
