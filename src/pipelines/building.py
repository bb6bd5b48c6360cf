"""Small pipelines from nothing: a tokenizer learned from sentences, and untrained, seeded weights.

The classes are those that the large models use, so that the stock pipeline's
`from_pretrained(folder, use_safetensors=True)` loads the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import BadInputError
from src.pipelines.blueprint import Blueprint
from src.pipelines.families import family_named
from src.pipelines.learning import Small

if TYPE_CHECKING:
    from transformers import T5Tokenizer

SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>")  # T5Tokenizer expects the unknown token at id 2
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()&/éèàçêôöüäßñ"
STEP = 1e-4
"""Between the scores of letters that the trainer did not weigh."""
DIGITS = 9
"""Of a score that the order of its sums does not touch."""


def small_of(blueprint: Blueprint) -> Small:
    """What builds it. Raises BadInputError for a family that is not built from nothing."""
    small = family_named(blueprint.family).small
    if small is None:
        raise BadInputError(f"models of the family {blueprint.family} are not built from nothing")
    return small


def train_tokenizer(corpus: Sequence[str], vocab_size: int, text_length: int) -> T5Tokenizer:
    """A Unigram tokenizer over `corpus`, as the T5 class of transformers; the same corpus gives the
    same pieces, numbers and scores. Raises BadInputError for an empty corpus.
    """
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    if not any(sentence.strip() for sentence in corpus):
        raise BadInputError("the tokenizer's corpus is empty; give it at least one sentence")
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), unk_token=SPECIAL_TOKENS[2],
        initial_alphabet=list(ALPHABET), show_progress=False,
    )  # fmt: skip
    learner.train_from_iterator(corpus, trainer)
    learned = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"]]
    pieces = _in_order(learned, {letter for sentence in corpus for letter in sentence})
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=text_length)


def _in_order(learned: list[tuple[str, float]], seen: set[str]) -> list[tuple[str, float]]:
    """Special tokens, then pieces by their letters, then letters that the corpus never shows: a
    prompt may hold any word, and must not be all unknown. The trainer's own order is another
    process's other, and so are its scores of letters that it did not weigh: one `STEP` apart, from
    the lowest on. All others differ in their last digits, which decide between words cut alike.
    """
    special, rest = learned[: len(SPECIAL_TOKENS)], learned[len(SPECIAL_TOKENS) :]
    unseen, lowest = set(ALPHABET) - seen, round(min(score for _, score in rest), DIGITS)
    weighed = lowest + STEP * sum(len(piece) == 1 for piece, _ in rest)
    found = {
        piece: lowest if len(piece) == 1 and score < weighed else round(score, DIGITS)
        for piece, score in rest
        if piece not in unseen
    }
    rare = ((each, lowest - 1.0) for each in ALPHABET if each not in found)
    return [*special, *sorted(found.items()), *rare]


def assemble_pipeline(
    blueprint: Blueprint, corpus: Sequence[str], seed: int, tokenizer: T5Tokenizer | None = None
) -> Any:
    """The whole pipeline in memory, untrained, its weights drawn from `seed`, in float32 on the
    CPU.

    tokenizer: used instead of one trained on `corpus`.
    """
    tokenizer = tokenizer or train_tokenizer(corpus, blueprint.vocab_size, blueprint.text_length)
    return small_of(blueprint).assemble(blueprint, tokenizer, seed)


def build_pipeline(blueprint: Blueprint, corpus: Sequence[str], folder: Path, seed: int) -> Path:
    """Write the untrained pipeline as a diffusers folder; the same seed writes the same weights.

    Args:
        corpus: sentences that the tokenizer learns its pieces from; at least one.
        folder: created where it does not exist.
    Returns `folder`.
    Raises BadInputError for an empty corpus.
    """
    assemble_pipeline(blueprint, corpus, seed).save_pretrained(folder, safe_serialization=True)
    return Path(folder)
