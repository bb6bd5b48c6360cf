"""python -m benchmarks.watermark --media FOLDER: what the watermark costs, and what it outlives.

FOLDER holds hiker.mp4, train_running.mp4, horse.mp4 and beach.png, camping.png, street.png of
720x480; the other clips are made here (`watermark_clips.py`). A clip counts as read where its id
was decoded, and as known where it was found among a thousand registered ids.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.watermark_attacks import ATTACKS, encoded
from benchmarks.watermark_clips import Make, tuned, unseen
from src.watermark.detect import Detection, KnownIds, detect_mark
from src.watermark.embed import GROUP, embed_mark
from src.watermark.keys import MarkKey
from src.watermark.message import id_for
from src.watermark.picture import mean_luma

KEY, OTHER = MarkKey(b"\x01" * 32), MarkKey(b"\x02" * 32)
REGISTERED = 1000
FLAT_SIDE, FLAT_BELOW = 17, 2.0
"""A flat area: windows of 17x17 pixels whose luma deviates by less than 2 grey levels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--clips", default="", help="Names, with commas; all without it.")
    parser.add_argument("--attacks", default="", help="Names, with semicolons; all without it.")
    parser.add_argument("--nulls", type=int, default=1000, help="Unmarked and foreign reads.")
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    asked = parser.parse_args()
    os.environ["SVT_LOG"] = "0"
    sources = tuned(asked.media) | unseen(asked.media)
    names = asked.clips.split(",") if asked.clips else list(sources)
    attacks = asked.attacks.split(";") if asked.attacks else list(ATTACKS)
    with ProcessPoolExecutor(os.cpu_count(), initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        jobs = [(asked.media, name, attacks, -(-asked.nulls // len(names))) for name in names]
        rows = []
        for row in pool.map(measured, jobs):
            rows.append(row)
            print(told_of(row), flush=True)
    print(summary(rows, attacks))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


def measured(job: tuple[Path, str, list[str], int]) -> dict[str, Any]:
    """All figures of one clip."""
    media, name, attacks, nulls = job
    make: Make = (tuned(media) | unseen(media))[name]
    frames, number = make(), id_for(KEY.secret, name)
    began = time.perf_counter()
    marked = marked_frames(frames, KEY, number)
    row: dict[str, Any] = {
        "clip": name,
        "embed_ms": (time.perf_counter() - began) * 1e3 / len(frames),
    }
    row |= quality(frames, marked)
    known = {KEY.id: KnownIds.of([number, *range(REGISTERED - 1)])}
    row["attacks"] = {each: _attacked(marked, each, number, known) for each in attacks}
    row["nulls"] = dict(_nulls(frames, marked, nulls))
    return row


def marked_frames(frames: np.ndarray, key: MarkKey, number: int) -> np.ndarray:
    groups = range(0, len(frames), GROUP)
    return np.stack([
        each
        for at in groups
        for each in embed_mark(list(frames[at : at + GROUP]), key.secret, number)
    ])  # fmt: skip


def quality(frames: np.ndarray, marked: np.ndarray) -> dict[str, float]:
    """PSNR in dB, rms in flat areas in grey levels, growth of the file at crf 16."""
    squares, flat = [], []
    for before, after in zip(frames, marked, strict=True):
        difference = after.astype(np.float32) - before
        squares.append(float(np.mean(difference**2)))
        where = _flat(before)
        if where.mean() > 0.005:
            flat.append(float(np.mean(difference[where] ** 2)))
    sizes = [len(encoded(each, "libx264", 16, preset="medium")) for each in (frames, marked)]
    return {
        "psnr": 10 * float(np.log10(255**2 / np.mean(squares))),
        "flat_rms": float(np.sqrt(np.mean(flat))) if flat else 0.0,
        "growth": sizes[1] / sizes[0] - 1,
    }


def _flat(frame: np.ndarray) -> np.ndarray:
    luma, side = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), (FLAT_SIDE,) * 2
    return cv2.blur(luma**2, side) - cv2.blur(luma, side) ** 2 < FLAT_BELOW**2


def _attacked(
    marked: np.ndarray, attack: str, number: int, known: dict[str, KnownIds]
) -> dict[str, Any]:
    frames = ATTACKS[attack][1](marked)
    began = time.perf_counter()
    blind = detect_mark(mean_luma(frames), [KEY])
    seconds = time.perf_counter() - began
    found = blind if _is(blind, number) else detect_mark(mean_luma(frames), [KEY], known)
    return {
        "read": _is(blind, number), "known": _is(found, number),
        "wrong": any(each and each.number != number for each in (blind, found)),
        "how": found.how if found else "", "seconds": seconds,
        "deviations": found.deviations if found else 0.0,
    }  # fmt: skip


def _is(found: Detection | None, number: int) -> bool:
    return found is not None and found.number == number


def _nulls(frames: np.ndarray, marked: np.ndarray, count: int) -> Iterator[tuple[str, int]]:
    """How often something is read where nothing of the key is: keys differ, so that each read is
    one of its own; with the register and the search.
    """
    random, reads, kinds = np.random.default_rng(len(frames)), 0, (frames, marked)
    for turn in range(count):
        key = MarkKey(random.bytes(32))
        start = int(random.integers(0, len(frames) - 8)) if len(frames) > 8 else 0
        mean = mean_luma(kinds[turn % 2][start : start + 8])
        reads += detect_mark(mean, [key], {key.id: KnownIds.of(range(REGISTERED))}) is not None
    yield from (("tried", count), ("read", reads))


def told_of(row: dict[str, Any]) -> str:
    lost = [name for name, each in row["attacks"].items() if not each["read"]]
    known = [name for name in lost if row["attacks"][name]["known"]]
    return (
        f"{row['clip']:10s} PSNR {row['psnr']:.1f} flat {row['flat_rms']:.2f} growth "
        f"{100 * row['growth']:.1f} % embed {row['embed_ms']:.1f} ms nulls {row['nulls']} "
        "not read: "
        f"{', '.join(f'{name} (known)' if name in known else name for name in lost) or 'none'}"
    )


def summary(rows: list[dict[str, Any]], attacks: list[str]) -> str:
    """The table, as Markdown."""
    lines = ["", "| After | asked | read | found with the register | wrong id | median ms |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name in attacks:
        found = [row["attacks"][name] for row in rows]
        count = [sum(each[what] for each in found) for what in ("read", "known", "wrong")]
        milliseconds = 1e3 * float(np.median([each["seconds"] for each in found]))
        lines.append(f"| {name} | {ATTACKS[name][0]} | {count[0]} of {len(rows)} | {count[1]} | "
                     f"{count[2]} | {milliseconds:.0f} |")  # fmt: skip
    growth = [row["growth"] for row in rows]
    slowest = max(each["seconds"] for row in rows for each in row["attacks"].values())
    nulls = [sum(row["nulls"][what] for row in rows) for what in ("read", "tried")]
    lines += ["", f"PSNR {min(row['psnr'] for row in rows):.1f} dB at least; flat areas "
              f"{max(row['flat_rms'] for row in rows):.2f} rms at most; files grow "
              f"{100 * np.mean(growth):.1f} % in the mean, {100 * np.median(growth):.1f} % in the "
              f"median; embedding {np.mean([row['embed_ms'] for row in rows]):.1f} ms a frame; the "
              f"slowest read {slowest:.2f} s; {nulls[0]} of {nulls[1]} reads of what is not "
              "marked"]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
