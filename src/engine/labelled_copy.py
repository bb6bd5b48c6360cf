"""A copy of a finished clip with the visible label, as it is released: new bytes, signed anew.

The mark stays in the picture, for the copy is a re-encoding at high quality, and is not put in
again. The signature of the clip stays with the clip: the copy gets one of its own, whose ingredient
is the clip with all that it was made of.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import src
from src.core.files import sha256_of
from src.core.progress import CancelToken, Listener, Progress, ignore
from src.core.register import Registered
from src.engine.labelling import labelled
from src.engine.manifest import Mark
from src.engine.marking import mark_in
from src.engine.signing import source_type_of
from src.media.encoders import encoder_options, find_encoder, pixel_format, usual_preset
from src.media.join import join
from src.media.press_metadata import of_xmp
from src.media.reader import VideoReader
from src.media.segments import SegmentWriter, VideoFormat
from src.media.span import Span
from src.media.writer import CRF
from src.trust.claim import LABELLED, Claim
from src.trust.reading import NONE, read_provenance
from src.trust.signing import sign_file
from src.trust.xmp import read_xmp
from src.verification.fingerprint import fingerprint_if_possible
from src.verification.register import remember

CODEC = "x264"


@dataclass(frozen=True)
class LabelledCopy:
    """path, sha256: of the copy. signed: whether it carries a signature. mark: id of the watermark
    that it shares with the clip, or "". frames: how many. registered: what the register says of it.
    """

    path: Path
    sha256: str
    signed: bool
    mark: str
    frames: int
    registered: dict[str, str]


def labelled_copy(
    clip: Path, target: Path, sign: bool | None = None, listener: Listener = ignore,
    cancel: CancelToken | None = None,
) -> LabelledCopy:  # fmt: skip
    """Write `target`, with the clip's other tracks and times. sign: None as the clip is.

    Raises MissingFileError or BadInputError where the clip cannot be read or signed, OutputError
    where the target cannot be written, CancelledError; then there is no target.
    """
    signs = read_provenance(clip).state != NONE if sign is None else sign
    mark, cancel = mark_in(clip), cancel or CancelToken()
    with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
        video, frames = _encode(clip, Path(folder), listener, cancel)

        def publish(whole: Path) -> None:
            if signs:
                sign_file(whole, target, _claim(clip, mark))
            whole.replace(target)

        join(clip, Path(folder), 1, video, target, Span(), cancel.check, publish)
    told = _write_down(target, mark, signs)
    return LabelledCopy(target, told.sha256, signs, told.mark, frames, _known(told))


def _write_down(target: Path, mark: Mark | None, signed: bool) -> Registered:
    code = fingerprint_if_possible(target) if mark or signed else None
    ids = {"mark": mark.id, "key": mark.key} if mark else {}
    entry = Registered(target.name, sha256_of(target), fingerprint=code or "", **ids)
    if _known(entry):
        remember(entry)
    return entry


def _known(entry: Registered) -> dict[str, str]:
    """{} where the register would say nothing."""
    return entry.told() if entry.mark or entry.fingerprint else {}


def _encode(
    clip: Path, folder: Path, listener: Listener, cancel: CancelToken
) -> tuple[VideoFormat, int]:
    """One segment of labelled frames, and how many they are."""
    encoder = find_encoder(CODEC)
    with VideoReader(clip) as reader:
        info = reader.info
        layout = pixel_format(encoder, info, None)
        options = encoder_options(encoder, CRF, usual_preset(encoder, layout))
        video = VideoFormat(encoder, tuple(options.items()), info, info.width, info.height, layout)
        writer, count = SegmentWriter(folder, 0, video), 0
        try:
            for index, frame in enumerate(reader):
                cancel.check()
                writer.write(replace(frame, array=labelled(frame.array.copy(), index)))
                count = index + 1
                listener(Progress("label", count, max(info.frames or 0, count)))
            writer.finish()
        except BaseException:
            writer.abort()
            raise
    return video, count


def _claim(clip: Path, mark: Mark | None) -> Claim:
    found = read_provenance(clip)
    facts = {"version": src.__version__, "label": "AI", "clip_sha256": sha256_of(clip)}
    facts |= {"model": found.generation.get("model", "")}
    bound = (mark.id, mark.key) if mark else None
    press = of_xmp(read_xmp(clip)).told
    return Claim(source_type_of(clip), src.__version__, facts["model"] or "Newsreel", facts, clip,
                 f"video{clip.suffix.lower()}", LABELLED, bound, press)  # fmt: skip
