"""What the service found of a clip that it made."""

from typing import Any

from newsreel_client import Newsreel

from .service import SERVICE


class NewsreelScore:
    """score: temporal consistency, 0 to 1; accepted: whether it may be published; sentence: what is
    wrong, and where.
    """

    CATEGORY = "Newsreel"
    FUNCTION = "score"
    OUTPUT_NODE = True
    RETURN_TYPES = ("FLOAT", "BOOLEAN", "STRING")
    RETURN_NAMES = ("score", "accepted", "sentence")
    DESCRIPTION = "The temporal score that a Newsreel service took of a clip."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"job": ("STRING", {"default": "", "forceInput": True})},
            "optional": SERVICE,
        }

    def score(self, job: str, url: str = "") -> dict[str, Any]:
        with Newsreel(url or None) as newsreel:
            report = (newsreel.job(job).result or {}).get("report")
        if not report:
            raise ValueError(f"job {job} has no temporal score: it is not done, or went without")
        sentence = _sentence(report)
        told = (float(report["score"]), bool(report["accepted"]), sentence)
        return {"ui": {"text": [sentence]}, "result": told}


def _sentence(report: dict[str, Any]) -> str:
    worst = report.get("worst") or {}
    verdict = "accepted" if report["accepted"] else "rejected"
    text = f"temporal score {report['score']:.2f} ({verdict})"
    if worst.get("cause", "none") == "none":
        return text
    return f"{text}; worst at frames {worst['frames'][0]}-{worst['frames'][1]}: {worst['cause']}"
