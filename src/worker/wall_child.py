"""python -m src.worker.wall_child CPU_SECONDS BYTES: decodes what src/worker/wall.py sends, within
limits.
"""

import json
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from src.core.errors import BadInputError, NewsreelError
from src.media.images import check_photograph, parse_photograph
from src.media.small import contact_sheet, first_frame_jpeg, small_frame, small_photograph
from src.media.videos import check_video


def main(cpu_s: float, memory: int) -> None:
    """Answer questions until the parent closes the pipe."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    _limit_memory(memory)
    while line := sys.stdin.buffer.readline():
        question = json.loads(line)
        data = sys.stdin.buffer.read(question["size"])
        _limit_time(cpu_s)
        answer, body = _answer(question, data)
        _write(out, answer | {"bytes": len(body)}, body)


def _answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    name = question["name"]
    try:
        return ANSWERS[question["what"]](question, data)
    except NewsreelError as error:
        return {"error": str(error), "class": type(error).__name__}, b""
    except MemoryError:
        return _refused(f"{name} takes more memory to decode than it may have; save it smaller")
    except Exception:
        traceback.print_exc()
        return _refused(f"{name} is damaged and cannot be decoded")


def _refused(sentence: str) -> tuple[dict[str, Any], bytes]:
    return {"error": sentence, "class": BadInputError.__name__}, b""


def _check(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    found = check_photograph(data, question["name"])
    return {"sha256": found.sha256, "suffix": found.suffix, "press": found.press.told}, b""


def _small(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return {}, small_photograph(data, question["name"])


def _frame(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return {}, small_frame(Path(question["path"]))


def _first(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return {}, first_frame_jpeg(Path(question["path"]))


def _sheet(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return {}, contact_sheet(Path(question["path"]))


def _read(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    found = parse_photograph(data, question["name"])
    told = {"sha256": found.sha256, "suffix": found.suffix, "warnings": found.warnings}
    told |= {"shape": found.pixels.shape, "press": found.press.told}
    return told, found.pixels.tobytes()


def _video(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    from src.worker.upscale import check_upscale

    path = Path(question["path"])
    facts = check_video(path)
    try:
        check_upscale(question["request"] | {"input": str(path)})
    except NewsreelError as error:
        raise type(error)(
            str(error).replace(str(path), "video").replace(path.name, "video")
        ) from None
    return facts._asdict(), b""


def _verify(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    from src.verification.layers import read_layers
    from src.watermark.keys import MarkKey

    keys = [MarkKey(bytes.fromhex(each)) for each in question["keys"]]
    asked = question["anchors"], keys, question["marks"], question["prints"]
    return read_layers(Path(question["path"]), *asked), b""


ANSWERS = {
    "check": _check, "read": _read, "video": _video, "small": _small, "frame": _frame,
    "first": _first, "sheet": _sheet, "verify": _verify,
}  # fmt: skip


def _write(out: BinaryIO, answer: dict[str, Any], body: bytes) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.write(body)
    out.flush()


def _limit_memory(most: int) -> None:
    """Address space, no core files; where the system has no such limits, time is limited still."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _limit_time(cpu_s: float) -> None:
    """So much more processor time than was used so far; the kernel ends who takes more."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + cpu_s)
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
