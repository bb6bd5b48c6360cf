"""The rule, and what it refuses."""

import pytest

from src.core.errors import BadInputError
from src.core.plan import Division
from src.pipelines.parallel.division import numbers, plan_division, shares


@pytest.mark.parametrize(
    ("gpus", "heads", "guided", "expected"),
    [
        (2, 48, True, (2, 1, 2)),
        (2, 48, False, (1, 2, 2)),
        (4, 48, True, (2, 2, 4)),
        (8, 48, True, (2, 4, 8)),
        (3, 48, True, (1, 3, 3)),
        (8, 48, False, (1, 8, 8)),
        # five heads: at unguided steps both halves compute the same
        (2, 5, True, (2, 1, 1)),
        (10, 5, True, (2, 5, 5)),
        (5, 5, False, (1, 5, 5)),
    ],
)
def test_guidance_is_shared_first_and_tokens_next(gpus, heads, guided, expected):
    made = plan_division(gpus, heads, guided)
    assert (made.branches, made.sequence, made.unguided) == expected
    assert made.branches * made.sequence == gpus


def test_the_refusal_names_what_works():
    with pytest.raises(BadInputError, match="--gpus 4 .* 5 attention heads .* 2, 5 or 10 can"):
        plan_division(4, 5, guided=True)
    with pytest.raises(BadInputError, match="without guidance 5 can"):
        plan_division(2, 5, guided=False)
    with pytest.raises(BadInputError, match="without guidance 1 alone can"):
        plan_division(2, 17, guided=False)


@pytest.mark.parametrize("heads", [5, 30, 48])
@pytest.mark.parametrize("guided", [True, False])
def test_the_numbers_it_names_divide(heads, guided):
    assert numbers(heads, guided)
    for gpus in numbers(heads, guided):
        assert plan_division(gpus, heads, guided) == Division(
            branches=gpus // plan_division(gpus, heads, guided).sequence,
            sequence=plan_division(gpus, heads, guided).sequence,
            unguided=gpus if heads % gpus == 0 else plan_division(gpus, heads, guided).sequence,
        )


@pytest.mark.parametrize(("count", "parts"), [(226, 4), (36, 4), (17550, 8), (7, 3), (2, 4)])
def test_shares_are_as_even_as_can_be(count, parts):
    made = shares(count, parts)
    assert (len(made), sum(made)) == (parts, count)
    assert max(made) - min(made) <= 1
