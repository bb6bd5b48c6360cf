"""SMPTE timecode: the count of a frame within a day's recording, which goes on counting where a
part is cut out.
"""

import math
import re
from fractions import Fraction

_FORM = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")


def moved_timecode(timecode: str, rate: Fraction, seconds: float, times: int = 1) -> str:
    """The timecode of the first frame at or after `seconds` of a video whose first frame has
    `timecode`.

    rate: frames a second of the source. times: frames of the output to one of the source. What is
    no timecode comes back as it is. Drop-frame counting (a ";" or "." before the frames) leaves out
    two numbers, at 60 a second four, in each minute but every tenth (SMPTE ST 12-1).
    """
    match = _FORM.fullmatch(timecode.strip())
    nominal = round(rate)
    if match is None or nominal < 1:
        return timecode
    hours, minutes, second, mark, frame = match.groups()
    drop = mark in ";." and nominal % 30 == 0
    count = _count(int(hours), int(minutes), int(second), int(frame), nominal, drop)
    count += math.ceil(Fraction(seconds).limit_denominator(10**6) * rate - Fraction(1, 100))
    return _text(count * times, nominal * times, mark, drop)


def _count(hours: int, minutes: int, second: int, frame: int, nominal: int, drop: bool) -> int:
    whole = 60 * hours + minutes
    left_out = nominal // 15 * (whole - whole // 10) if drop else 0
    return (60 * whole + second) * nominal + frame - left_out


def _text(count: int, nominal: int, mark: str, drop: bool) -> str:
    day = 24 * 3600 * nominal - (nominal // 15 * 1296 if drop else 0)
    count %= day
    if drop:
        lost = nominal // 15
        ten, minute = 600 * nominal - 9 * lost, 60 * nominal - lost
        tens, rest = divmod(count, ten)
        count += 9 * lost * tens + (lost * ((rest - lost) // minute) if rest >= lost else 0)
    frame, rest = count % nominal, count // nominal
    return f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{mark}{frame:02d}"
