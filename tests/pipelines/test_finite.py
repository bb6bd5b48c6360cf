"""What is not a number is found in every kind of tensor,
and the sentence names what likely did it.
"""

import pytest
import torch

from src.core.finite import first_not_finite, is_finite, likely_cause, not_finite
from src.core.plan import Adapter


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_wrong_number_is_found(dtype, value):
    numbers = torch.ones(3, 5)
    assert is_finite(numbers.to(dtype))
    numbers[2, 4] = value
    assert not is_finite(numbers.to(dtype))
    assert first_not_finite([("a", torch.ones(2)), ("b", numbers)]) == "b"


def test_integers_and_empty_tensors_are_finite():
    assert is_finite(torch.ones(2, dtype=torch.int64))
    assert is_finite(torch.ones(0))


def test_the_likely_cause_follows_the_plan(make_plan):
    plan = make_plan(adapters=(Adapter(file="press/x.safetensors", sha256="0", weight=40),))
    assert "press/x.safetensors (weight 40)" in str(not_finite("the latents", plan))
    half = plan.session.model_copy(update={"dtype": "float16"})
    assert "--dtype bfloat16" in likely_cause(make_plan(session=half))
    assert "the weights of tiny" in likely_cause(make_plan())
