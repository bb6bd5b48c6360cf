"""The finisher `c2pa`: what a manifest says of a clip, as a signed claim in it."""

from pathlib import Path
from typing import Any

from src.engine.enlarged_manifest import EnlargedManifest
from src.engine.finisher import SIGNED, FileContext
from src.engine.manifest import Manifest
from src.trust.claim import (
    COMPOSITE,
    ENHANCED,
    ENLARGED,
    EXTENDED,
    GENERATED,
    TERMS,
    Claim,
    hash_of,
    hash_of_files,
)
from src.trust.reading import read_provenance
from src.trust.signing import sign_file
from src.trust.xmp import read_xmp


def sign_clip(file: Path, context: FileContext) -> None:
    """A finisher. Raises BadInputError where a certificate or package is wrong."""
    sign_file(file, context.final, claim_of(context))


def claim_of(context: FileContext) -> Claim:
    """What a clip says of itself in public; of prompts only a hash."""
    manifest = context.manifest
    if isinstance(manifest, Manifest):
        facts, model = _generated(manifest), manifest.plan.session.model
        kind, title = GENERATED, manifest.photograph
        if manifest.before:
            kind = GENERATED if source_type_of(context.source) == GENERATED else COMPOSITE
            title = f"video{context.source.suffix.lower()}"
    else:
        facts, kind = _enlarged(manifest), source_type_of(context.source)
        model, title = manifest.upscaler, f"video{context.source.suffix.lower()}"
    mark = manifest.watermark
    bound = (mark.id, mark.key) if mark else None
    change = _change(manifest)
    return Claim(kind, manifest.newsreel, model, facts, context.source, title, change, bound,
                 manifest.press)  # fmt: skip


def _change(manifest: Manifest | EnlargedManifest) -> tuple[str, str] | None:
    if isinstance(manifest, EnlargedManifest):
        return ENLARGED
    return EXTENDED if manifest.before else None


def source_type_of(video: Path) -> str:
    """What an enlarged video is: a generated one stays generated, where it says so, in its
    signature or in its XMP.
    """
    says_so = f"{TERMS}{GENERATED}".encode() in read_xmp(video)
    generated = says_so or read_provenance(video).source_type == GENERATED
    return GENERATED if generated else ENHANCED


def _generated(manifest: Manifest) -> dict[str, Any]:
    plan = manifest.plan
    drawn = {"preview_decoder_sha256": plan.draft.preview} if plan.draft else {}
    return drawn | {
        "model": plan.session.model,
        "weights_sha256": hash_of_files(plan.weights),
        "adapters_sha256": [adapter.sha256 for adapter in plan.adapters],
        "version": manifest.newsreel,
        "prompt_sha256": hash_of(plan.prompt),
        "photograph_sha256": plan.image_sha256,
        "seed": str(plan.seed),
        "plan_sha256": manifest.plan_sha256,
        "frame_sha256": manifest.frame_sha256,
    }


def _enlarged(manifest: EnlargedManifest) -> dict[str, Any]:
    return {
        "model": manifest.upscaler,
        "weights_sha256": hash_of_files(manifest.weights),
        "version": manifest.newsreel,
        "preset": manifest.preset,
        "scale": manifest.scale,
    }


def with_signature(finishers: tuple[str, ...]) -> tuple[str, ...]:
    """Finishers with `c2pa` as the last: what works on the file after it would break it."""
    return (*(name for name in finishers if name != SIGNED), SIGNED)
