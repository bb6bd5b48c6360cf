"""Words for numbers."""

from src.core.wording import counted


def test_one_takes_no_s():
    assert [counted(count, "step") for count in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
