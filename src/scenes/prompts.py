"""Prompts for camera moves: hundreds of wordings of a move, in a press scenario or on their own.

A prompt that names no move means a slow push in: the camera of a documentary over a still
photograph.
"""

from __future__ import annotations

import numpy as np

from src.scenes.strange import pick, strange_scenario

CONJUGATION = {  # base: third person, gerund
    "pan": ("pans", "panning"), "turn": ("turns", "turning"), "swing": ("swings", "swinging"),
    "sweep": ("sweeps", "sweeping"), "move": ("moves", "moving"), "look": ("looks", "looking"),
    "tilt": ("tilts", "tilting"), "rise": ("rises", "rising"), "push": ("pushes", "pushing"),
    "zoom": ("zooms", "zooming"), "dolly": ("dollies", "dollying"), "track": ("tracks", "tracking"),
    "close": ("closes", "closing"), "pull": ("pulls", "pulling"), "back": ("backs", "backing"),
    "roll": ("rolls", "rolling"), "rotate": ("rotates", "rotating"), "spin": ("spins", "spinning"),
    "descend": ("descends", "descending"),
}  # fmt: skip

ACTIONS: dict[str, tuple[str, ...]] = {  # base form and what follows it
    "pan left": ("pan left", "pan left", "pan to the left", "turn left", "turn to the left",
                 "swing left", "sweep left", "sweep to the left", "move left", "look left",
                 "pan from right to left"),
    "pan right": ("pan right", "pan right", "pan to the right", "turn right", "turn to the right",
                  "swing right", "sweep right", "sweep to the right", "move right", "look right",
                  "pan from left to right"),
    "tilt up": ("tilt up", "tilt up", "tilt upward", "tilt upwards", "look up", "move up", "rise",
                "pan up", "turn upwards"),
    "tilt down": ("tilt down", "tilt down", "tilt downward", "tilt downwards", "look down",
                  "move down", "descend", "pan down", "turn downwards"),
    "push in": ("push in", "push in", "push forward", "zoom in", "zoom in", "dolly in",
                "dolly forward", "track in", "move in", "move closer", "move forward", "close in",
                "push towards the subject"),
    "pull out": ("pull out", "pull out", "pull back", "pull away", "zoom out", "zoom out",
                 "dolly out", "dolly back", "track out", "move back", "move backwards", "move away",
                 "back away"),
    "roll clockwise": ("roll clockwise", "roll clockwise", "rotate clockwise", "turn clockwise",
                       "spin clockwise", "roll in a clockwise direction"),
    "roll counterclockwise": ("roll counterclockwise", "roll counter-clockwise",
                              "roll anticlockwise", "rotate counterclockwise",
                              "rotate counter-clockwise", "rotate anticlockwise",
                              "turn counterclockwise", "turn anti-clockwise",
                              "spin counterclockwise"),
}  # fmt: skip

NOUNS: dict[str, tuple[str, ...]] = {
    "pan left": ("pan left", "pan to the left", "leftward pan", "left pan", "camera pan left",
                 "panning shot left"),
    "pan right": ("pan right", "pan to the right", "rightward pan", "right pan", "camera pan right",
                  "panning shot right"),
    "tilt up": ("tilt up", "upward tilt", "tilt upwards", "camera tilt up"),
    "tilt down": ("tilt down", "downward tilt", "tilt downwards", "camera tilt down"),
    "push in": ("push in", "push-in", "zoom in", "zoom-in", "dolly in", "dolly-in", "push forward"),
    "pull out": ("pull out", "pull-out", "pull back", "pull-back", "zoom out", "zoom-out",
                 "dolly out"),
    "roll clockwise": ("clockwise roll", "roll clockwise", "clockwise rotation",
                       "clockwise camera roll", "camera roll clockwise"),
    "roll counterclockwise": ("counterclockwise roll", "counter-clockwise roll",
                              "anticlockwise roll", "roll counterclockwise",
                              "counterclockwise rotation", "anticlockwise camera roll",
                              "camera roll counterclockwise"),
}  # fmt: skip

STILL = (
    "static", "static shot", "static camera", "a static shot", "locked-off shot",
    "locked off camera", "tripod shot", "camera on a tripod", "fixed camera", "a fixed shot",
    "still camera", "a still shot", "no camera movement", "no camera motion",
    "the camera does not move", "the camera stays still", "the camera holds still",
    "the camera remains static", "camera stationary", "a stationary camera", "motionless camera",
    "the camera is locked off", "without any movement", "hold the shot",
)  # fmt: skip
HANDHELD = (
    "handheld", "handheld camera", "hand-held camera", "handheld shot", "handheld footage",
    "a shaky handheld camera", "filmed handheld", "shot on a handheld camera",
)  # fmt: skip

ADJECTIVES = {
    "slow": ("slow", "slow", "gentle", "unhurried", "very slow", "subtle"),
    "medium": ("", "", "", "", "steady", "medium", "moderate", "smooth"),
    "fast": ("fast", "fast", "quick", "rapid", "swift", "very fast"),
}
ADVERBS = {
    "slow": (
        "slowly",
        "slowly",
        "gently",
        "at a slow pace",
        "very slowly",
        "at slow speed",
        "unhurriedly",
    ),
    "medium": ("", "", "", "", "steadily", "at a steady pace", "at medium speed", "smoothly"),
    "fast": (
        "quickly",
        "quickly",
        "fast",
        "rapidly",
        "swiftly",
        "at high speed",
        "very fast",
        "at a fast pace",
    ),
}
EASED = ("easing in and out", "with a soft start and stop", "starting and ending at rest", "eased")

EVENTS = (
    "Press briefing", "Press conference", "Breaking news", "Market commentary", "Interview",
    "Archive footage", "Weather report", "Sports desk", "Press room Q&A session", "Live report",
    "News bulletin", "Panel discussion", "Protest march", "Award ceremony", "Election night",
    "Trade talks", "Street scene", "Product launch", "Match report", "Storm coverage",
    "Rocket launch", "Official statement", "Portrait", "Documentary shot",
    "Market commentary on breaking news", "Historic photograph", "Charity gala", "Court hearing",
)  # fmt: skip
PLACES = (
    "at city hall", "in the press room", "at the stadium", "in Lyon", "in London", "in New York",
    "in Tokyo", "on the trading floor", "outside the court", "at the airport", "on the beach",
    "in the mountains", "in the studio", "at the parliament", "in the old town", "by the harbour",
    "on the launch pad", "in a factory", "at the hospital", "in front of the ministry",
    "at the summit", "in the rain", "at night", "at dawn", "in the evening light",
    "with the minister", "with the coach", "with an astronaut", "on breaking news",
    "from the archive", "with a cup of coffee", "of a cat", "of a horse", "of a city street",
)  # fmt: skip
FLAVOURS = (
    "news footage", "broadcast quality", "photojournalism", "documentary style", "natural light",
    "4k", "cinematic", "sharp focus", "realistic", "high detail", "35mm", "soft light",
)  # fmt: skip
PASSERS_BY = (
    "something passes in front", "a shape crosses the picture", "an object moves past",
    "traffic passes by", "people walk past", "with moving objects",
)  # fmt: skip
FLAWS = (
    "blurry", "low quality", "distorted", "flicker", "watermark", "text", "deformed", "noise",
    "artifacts", "jittery", "overexposed", "bad anatomy", "compression artifacts",
    "inconsistent motion", "oversaturated", "worst quality", "ugly", "grainy", "duplicate",
    "cartoon",
)  # fmt: skip


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def conjugate(action: str, form: int) -> str:
    """`action` ("pan to the left") in the third person (form 0) or as a gerund (form 1)."""
    base, _, rest = action.partition(" ")
    return _join(CONJUGATION[base][form], rest)


def single(name: str, speed: str, random: np.random.Generator) -> str:
    """One wording of one move at one speed."""
    if name in ("static", "handheld"):
        return pick(random, STILL if name == "static" else HANDHELD)
    kind = int(random.integers(5))
    if kind == 0:
        article = pick(random, ("a", "", "with a"))
        return _join(article, pick(random, ADJECTIVES[speed]), pick(random, NOUNS[name]))
    adverb, action = pick(random, ADVERBS[speed]), pick(random, ACTIONS[name])
    if kind == 1:
        return _join("the camera", conjugate(action, 0), adverb)
    if kind == 2:
        before = adverb if adverb.endswith("ly") else ""
        return _join(pick(random, ("the camera", "camera")), before, conjugate(action, 0),
                     "" if before else adverb)  # fmt: skip
    if kind == 3:
        return _join(pick(random, ("", "camera")), conjugate(action, 1), adverb)
    adjective = pick(random, ADJECTIVES[speed])
    return _join(adjective, action) if random.random() < 0.6 else _join(action, adverb)


def combined(first: str, second: str, speed: str, random: np.random.Generator) -> str:
    """One wording of two moves at once: "slow push in while panning left"."""
    one, two = pick(random, ACTIONS[first]), pick(random, ACTIONS[second])
    kind = int(random.integers(4))
    if kind == 0:
        noun = _join(pick(random, ADJECTIVES[speed]), pick(random, NOUNS[first]))
        return f"{noun} while {conjugate(two, 1)}"
    if kind == 1:
        return _join(
            f"the camera {conjugate(one, 0)} and {conjugate(two, 0)}", pick(random, ADVERBS[speed])
        )
    if kind == 2:
        return _join(conjugate(one, 1), "and", conjugate(two, 1), pick(random, ADVERBS[speed]))
    return _join(pick(random, ADJECTIVES[speed]), one, "and", two)


def scenario(random: np.random.Generator) -> str:
    """A press scenario without a camera move: "Press briefing at city hall, natural light"."""
    words = _join(pick(random, EVENTS), pick(random, PLACES) if random.random() < 0.75 else "")
    return f"{words}, {pick(random, FLAVOURS)}" if random.random() < 0.3 else words


def in_scenario(phrase: str, random: np.random.Generator, strange: float = 0.0) -> str:
    """`phrase` inside a scenario, or alone; sometimes capitalised, sometimes with a full stop.
    strange: the share of scenarios in words that no list holds.
    """
    kind = random.random()
    # at 0 nothing is drawn for it: prompts of older settings stay the same
    said = strange_scenario if strange and random.random() < strange else scenario
    if kind < 0.45:
        prompt = _join(said(random) + pick(random, (",", ".", ";", " -")), phrase)
    elif kind < 0.6:
        prompt = f"{phrase}, {said(random)}"
    else:
        prompt = phrase
    if random.random() < 0.2:
        prompt = f"{prompt}, {pick(random, FLAVOURS)}"
    if random.random() < 0.4:
        prompt = prompt[0].upper() + prompt[1:]
    return prompt + ("." if random.random() < 0.15 else "")


def flaws(random: np.random.Generator) -> str:
    """A negative prompt: a list of flaws that says nothing of the camera."""
    count = int(random.integers(1, 7))
    return ", ".join(FLAWS[i] for i in random.permutation(len(FLAWS))[:count])
