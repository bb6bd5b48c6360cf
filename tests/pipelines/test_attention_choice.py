"""The fastest kernel is measured once and kept. torch's own run on this CPU; what is chosen among
cards' kernels is told by kernels and a clock that are made up.
"""

import json
from types import SimpleNamespace

import pytest
import torch

from src.build_cache.cache import BuildCache
from src.core.errors import BadInputError
from src.pipelines import attention_choice as choice
from src.pipelines.attending import torch_attend
from src.pipelines.family import Attention

SHAPE, HERE = Attention(heads=2, head_dim=16, tokens=24), ("flash", "math")


def notes(home):
    return list((home / "cache" / "models" / "attention").glob("note-*.json"))


def ask(shape=SHAPE, dtype="float32", kernels=HERE):
    return choice.fastest(shape, dtype, "cpu", kernels)


@pytest.fixture
def never(monkeypatch):
    """Call it, and nothing may be measured any more."""

    def forbid():
        monkeypatch.setattr(choice, "_measured", lambda *_: pytest.fail("it is measured again"))

    return forbid


def test_what_runs_here_is_measured_once_and_read_again(home, never):
    name = ask()
    (file,) = notes(home)
    told = json.loads(file.read_text("utf-8"))
    assert set(told["seconds"]) == set(HERE) and told["left_out"] == {}
    assert name == min(told["seconds"], key=told["seconds"].get)
    assert told["question"]["shape"] == [2, 16, 24] and told["question"]["torch"]
    never()
    assert choice.fastest(SHAPE, "float32", "cpu", HERE, BuildCache()) == name


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", "{}", '{"seconds": {}}', '{"seconds": {"sage": 0.1}}',
     '{"seconds": {"math": "fast"}}', '{"seconds": {"math": -0.1}}'],
)  # fmt: skip
def test_a_damaged_note_is_measured_anew(home, damage):
    ask()
    (file,) = notes(home)
    file.write_text(damage, "utf-8")
    ask()
    assert set(json.loads(file.read_text("utf-8"))["seconds"]) == set(HERE)


@pytest.mark.parametrize("changed", ["driver", "torch", "package", "shape", "dtype", "kernels"])
def test_another_machine_version_or_shape_is_another_question(changed, monkeypatch):
    def question(shape=SHAPE, dtype="bfloat16", kernels=("flash", "flash3")):
        return choice._question(shape, dtype, "cuda", kernels)

    monkeypatch.setattr(choice, "machine", lambda _: {"gpu": "a card", "driver": "570.1"})
    monkeypatch.setattr(choice, "version_of", lambda _: "3.0.0")
    before = question()
    wish = {"shape": {"shape": Attention(2, 16, 25)}, "dtype": {"dtype": "float16"},
            "kernels": {"kernels": ("flash",)}}.get(changed, {})  # fmt: skip
    if changed == "driver":
        monkeypatch.setattr(choice, "machine", lambda _: {"gpu": "a card", "driver": "580.2"})
    if changed == "torch":
        monkeypatch.setattr(choice.torch, "__version__", "9.9")
    if changed == "package":
        monkeypatch.setattr(choice, "version_of", lambda _: "3.0.1")
    assert question(**wish) != before
    assert question() == before or changed in ("driver", "torch", "package")


@pytest.fixture
def made_up(monkeypatch):
    """Kernels that take as long as they say: name to seconds of each call in turn (the last one
    stays), or to what they raise or give instead."""

    def use(kernels):
        now, turn = [0.0], dict.fromkeys(kernels, 0)
        use.turn = turn

        def call_of(name, parts):
            told = kernels[name]
            if isinstance(told, Exception):
                raise told

            def call():
                turn[name] += 1
                now[0] += told[min(turn[name], len(told)) - 1] if isinstance(told, list) else 0
                return told(parts) if callable(told) else torch_attend(*parts)

            return call

        monkeypatch.setattr(choice, "call_of", call_of)
        clock = lambda: now[0]  # noqa: E731
        monkeypatch.setattr(choice, "time", SimpleNamespace(process_time=clock, perf_counter=clock))
        return ask(kernels=tuple(kernels))

    return use


def test_the_first_call_and_one_that_was_disturbed_do_not_count(made_up):
    """Call 1 is compared with torch; call 3 was disturbed."""
    disturbed = [0.9, 0.01, 0.9, 0.01]
    assert made_up({"flash": [0.02], "cudnn": disturbed, "efficient": [0.03]}) == "cudnn"
    assert set(made_up.turn.values()) == {1 + choice.ROUNDS}


def test_kernels_that_take_seconds_are_measured_once(made_up):
    assert made_up({"math": [6.0], "flash": [2.0]}) == "flash"
    assert made_up.turn == {"math": 2, "flash": 2}


def test_a_kernel_that_refuses_or_gives_another_result_is_left_out(made_up, home):
    wrong = lambda parts: torch_attend(parts[0], parts[1], parts[2].flip(1))  # noqa: E731
    refuses = RuntimeError("No available kernel.\n Aborting execution.")
    assert made_up({"cudnn": refuses, "flash3": wrong, "efficient": [0.5]}) == "efficient"
    left_out = json.loads(notes(home)[0].read_text("utf-8"))["left_out"]
    assert left_out["cudnn"] == "No available kernel. Aborting execution."
    assert left_out["flash3"].endswith("away from torch's")


def test_where_none_is_left_it_is_said_why(made_up):
    with pytest.raises(BadInputError, match="finds no kernel for this model: flash: head too wide"):
        made_up({"flash": RuntimeError("head too wide")})


def test_memory_that_runs_out_is_a_sentence_and_is_not_kept(made_up, home):
    with pytest.raises(BadInputError, match="no room on this device to measure in"):
        made_up({"math": torch.OutOfMemoryError("CUDA out of memory"), "flash": [0.1]})
    assert not notes(home)


def test_the_bound_lets_rounding_pass_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, 256, 2, 64, generator=generator) for _ in range(3)]
    expected = torch_attend(*parts)
    rounded = torch_attend(*(part.bfloat16() for part in parts)).float()
    assert choice._differs(rounded, expected, torch.bfloat16) == ""
    shifted = torch_attend(parts[0], parts[1].roll(1, 2), parts[2])
    assert choice._differs(shifted, expected, torch.bfloat16)
