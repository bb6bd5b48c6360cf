"""The rule by which N processes share a forward. Imports no torch.

1. Guidance first: where the clip is guided and N is even, one half of the processes computes the
   branch with the prompt, the other the one without. They meet once a step.
2. Tokens next: the N or N / 2 processes of a group hold a share of the tokens each, and exchange
   them for a share of the heads around each attention (Ulysses, arXiv:2309.14509). Their number
   must divide the heads.
3. At a step without guidance (outside `--guidance-interval`) all N share the tokens where N divides
   the heads; else both halves compute the same, as at guided steps.
"""

from src.core.errors import BadInputError
from src.core.option import listed
from src.core.plan import Division

MOST = 16


def plan_division(gpus: int, heads: int, guided: bool) -> Division:
    """How `gpus` processes share the forwards of a model with so many attention heads.

    Raises BadInputError where the heads do not divide, with the numbers that do.
    """
    branches = 2 if guided and gpus % 2 == 0 else 1
    sequence = gpus // branches
    if heads % sequence:
        raise BadInputError(_refusal(gpus, heads, guided))
    return Division(
        branches=branches, sequence=sequence, unguided=sequence if heads % gpus else gpus
    )


def numbers(heads: int, guided: bool) -> tuple[int, ...]:
    """The numbers of processes, 2 to 16, that can share such a model's forwards."""
    counts = range(2, MOST + 1)
    return tuple(n for n in counts if heads % (n // 2 if guided and n % 2 == 0 else n) == 0)


def _refusal(gpus: int, heads: int, guided: bool) -> str:
    how = "with guidance" if guided else "without guidance"
    works = listed(tuple(map(str, numbers(heads, guided))) or ("1 alone",))
    return (
        f"--gpus {gpus} cannot share this model's {heads} attention heads evenly; {how} {works} can"
    )


def shares(count: int, parts: int) -> list[int]:
    """`count` tokens in consecutive parts as even as can be, the larger ones first."""
    return [count // parts + (part < count % parts) for part in range(parts)]
