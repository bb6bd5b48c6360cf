"""What the page says of a job, in plain words."""

from datetime import UTC, datetime

from src.api.schemas import JobView
from src.core.errors import NewsreelError
from src.core.prompts import find_template, load_templates
from src.jobs.model import LABELLED, State

STATES = {
    State.PENDING: "Waiting",
    State.PROCESSING: "Being made",
    State.COMPLETED: "Ready",
    State.FAILED: "Did not work",
    State.CANCELLED: "Stopped",
}
STAGES = {
    "load": "loading the model",
    "encode": "reading the photograph",
    "denoise": "drawing the movement",
    "decode": "developing the frames",
    "deliver": "bringing it to size",
    "score": "checking the movement",
    "upscale": "enlarging",
    "label": "writing AI into the picture",
}
PRIORITIES = {
    "when-there-is-time": "When there is time",
    "normal": "Normal",
    "urgent": "Urgent",
    "breaking": "Breaking news",
}
ASKED = {
    "mode": {"optimized": "Fast", "baseline": "Reference, slow"},
    "fit": {"cover": "Cropped to the frame", "pad": "Whole, with borders"},
    "draft": {"True": "A quick look, small", "False": "No"},
}
USUAL_FPS = 8.0


def title(job: JobView) -> str:
    """What a person calls the clip: its wording, with the template's slots filled."""
    request = job.request
    if request.get("prompt"):
        return str(request["prompt"])
    if request.get("template"):
        return _rendered(str(request["template"]), request.get("set") or {})
    if request.get(LABELLED):
        return "A clip with the letters AI"
    if job.kind == "upscale":
        return f"Enlarged: {request.get('name') or 'video'}"
    return str(request.get("name") or job.kind)


def _rendered(name: str, values: dict[str, str]) -> str:
    try:
        return find_template(name, load_templates()).render(values)
    except NewsreelError:
        return template_name(name)  # the template was renamed since


def template_name(name: str) -> str:
    """Such as "Market commentary"."""
    return name.replace("_", " ").capitalize()


def quality(name: str) -> str:
    """A way to enlarge, `PRESET` or `ID/PRESET`, such as "Fast" or "Star, balanced"."""
    return ", ".join(name.split("/")).capitalize()


def asked(job: JobView) -> list[tuple[str, str]]:
    """What was asked, as labels and values; a template's slots each by itself."""
    request = dict(job.request)
    slots = request.pop("set", None) or {}
    rows = [(_label(name), _value(name, value)) for name, value in request.items()]
    rows += [(_label(name), str(value)) for name, value in slots.items()]
    drawn = (job.result or {}).get("seed")
    return rows + ([("Seed used", str(drawn))] if drawn is not None else [])


def _label(name: str) -> str:
    words = "enlarges" if name == "of" else name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _value(name: str, value: object) -> str:
    if name == "template":
        return template_name(str(value))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return ASKED.get(name, {}).get(str(value), str(value))


def state(job: JobView) -> str:
    """One or two words."""
    if job.cancel_requested and not job.state.final:
        return "Stopping"
    return STATES[job.state]


def doing(job: JobView) -> str:
    """What happens now, as a part of a sentence; "" once it has ended."""
    if job.state is State.PENDING:
        return place_in_words(job.queue_place)
    if job.state is State.PROCESSING:
        return STAGES.get(job.progress.stage or "", "starting")
    return ""


def place_in_words(number: int | None) -> str:
    """Where in the queue."""
    if number is None:
        return "waiting for its turn"
    return "next in line" if number == 1 else f"{ordinal(number)} in line"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    ending = (
        "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{ending}"


def ahead(job: JobView) -> str:
    """When it is expected; "" where that is not known."""
    if job.expected_s is None or job.state.final:
        return ""
    if job.expected_s < 5:
        return "ready any moment"
    return f"ready in about {seconds(job.expected_s)}"


def seconds(value: float) -> str:
    """A time as people say it: 40 s, 3 min, 2 h 5 min."""
    if value < 90:
        return f"{max(1, round(value))} s"
    minutes = round(value / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def length(job: JobView) -> str:
    """How long the clip plays; "" where its frames were not counted."""
    result = job.result or {}
    if job.kind != "generate" or not result.get("frames"):
        return ""
    rate = float(result.get("fps") or job.request.get("fps") or USUAL_FPS)
    return f"{result['frames'] / rate:.1f} s"


def made_in(job: JobView) -> str:
    """How long making it took; "" before it has ended."""
    if job.started_at is None or job.finished_at is None:
        return ""
    return seconds(job.finished_at - job.started_at)


def iso(time: float) -> str:
    """For `datetime` attributes; scripts show it in the reader's own zone."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def when(time: float) -> str:
    """26 Nov 2026, 20:31 UTC."""
    told = datetime.fromtimestamp(time, UTC)
    return f"{told.day} {told:%b %Y, %H:%M} UTC"


def size(job: JobView) -> str:
    """How far the running stage is, such as 40 %."""
    done, total = job.progress.done, job.progress.total
    return f"{100 * done // total} %" if total else ""
