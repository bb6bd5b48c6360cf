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
from src.core.register import Registered
from src.engine.labelling import labelled
from src.engine.signing import kind_of
from src.media.encoders import encoder_options, find_encoder, pixel_format, usual_preset
from src.media.join import join
from src.media.reader import VideoReader
from src.media.segments import SegmentWriter, VideoFormat
from src.media.span import Span
from src.media.writer import CRF
from src.trust.claim import LABELLED, Claim
from src.trust.reading import NONE, read_provenance
from src.trust.signing import sign_file
from src.verification.register import recall, remember

CODEC = "x264"


@dataclass(frozen=True)
class LabelledCopy:
    """path, sha256: of the copy. signed: whether it carries a signature. mark: id of the watermark
    that it shares with the clip, as far as the register knows one, or "".
    """

    path: Path
    sha256: str
    signed: bool
    mark: str


def labelled_copy(clip: Path, target: Path, sign: bool | None = None) -> LabelledCopy:
    """Write `target`, with the clip's other tracks and times. sign: None as the clip is.

    Raises MissingFileError or BadInputError where the clip cannot be read or signed, OutputError
    where the target cannot be written; then there is no target.
    """
    signs = read_provenance(clip).state != NONE if sign is None else sign
    known = next((each for each in reversed(recall()) if each.sha256 == sha256_of(clip)), None)
    with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
        video = _encode(clip, Path(folder))

        def publish(whole: Path) -> None:
            if signs:
                sign_file(whole, target, _claim(clip, known))
            whole.replace(target)

        join(clip, Path(folder), 1, video, target, Span(), publish=publish)
    digest = sha256_of(target)
    if known is not None:
        remember(replace(known, artifact=target.name, sha256=digest))
    return LabelledCopy(target, digest, signs, known.mark if known else "")


def _encode(clip: Path, folder: Path) -> VideoFormat:
    """One segment of labelled frames."""
    encoder = find_encoder(CODEC)
    with VideoReader(clip) as reader:
        info = reader.info
        layout = pixel_format(encoder, info, None)
        options = encoder_options(encoder, CRF, usual_preset(encoder, layout))
        video = VideoFormat(encoder, tuple(options.items()), info, info.width, info.height, layout)
        writer = SegmentWriter(folder, 0, video)
        try:
            for index, frame in enumerate(reader):
                writer.write(replace(frame, array=labelled(frame.array.copy(), index)))
            writer.finish()
        except BaseException:
            writer.abort()
            raise
    return video


def _claim(clip: Path, known: Registered | None) -> Claim:
    found = read_provenance(clip)
    facts = {"version": src.__version__, "label": "AI", "clip_sha256": sha256_of(clip)}
    facts |= {"model": found.generation.get("model", "")}
    mark = (known.mark, known.key) if known and known.mark else None
    return Claim(kind_of(clip), src.__version__, facts["model"] or "Newsreel", facts, clip,
                 f"video{clip.suffix.lower()}", LABELLED, mark)  # fmt: skip
