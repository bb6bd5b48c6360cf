"""The fastest kernel is measured once and kept. torch's own run on this CPU; what is chosen among
cards' kernels is told by kernels and a clock that are made up.
"""

import gc
import json
import resource
import threading
from types import SimpleNamespace

import psutil
import pytest
import torch
import torch.nn.functional as F

from src.build_cache import cache as build_cache
from src.build_cache.cache import BuildCache
from src.core.errors import BadInputError, OutputError
from src.pipelines import attention_choice as choice
from src.pipelines import attention_measuring as measuring
from src.pipelines.attending import torch_attend
from src.pipelines.family import Attention
from src.pipelines.memory import is_out_of_memory
from tests.small_disk import small_disk

SHAPE, HERE = Attention(heads=2, head_dim=16, tokens=24), ("flash", "math")


def notes(home):
    return list((home / "cache" / "models" / "attention").glob("note-*.json"))


def ask(shape=SHAPE, dtype="float32", kernels=HERE):
    return choice.fastest(shape, dtype, "cpu", kernels)


@pytest.fixture(autouse=True)
def _nothing_unkept(monkeypatch):
    monkeypatch.setattr(choice, "_unkept", {})


@pytest.fixture
def never(monkeypatch):
    """Call it, and nothing may be measured any more."""

    def forbid():
        monkeypatch.setattr(
            choice, "measure_kernels", lambda *_: pytest.fail("it is measured again")
        )

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


@pytest.mark.parametrize(
    "changed", ["driver", "torch", "package", "shape", "dtype", "kernels", "order"]
)
def test_another_machine_version_or_shape_is_another_question(changed, monkeypatch):
    def question(shape=SHAPE, dtype="bfloat16", kernels=("flash", "flash3")):
        return choice._question(shape, dtype, "cuda", kernels)

    monkeypatch.setattr(choice, "machine", lambda _: {"gpu": "a card", "driver": "570.1"})
    monkeypatch.setattr(choice, "version_of", lambda _: "3.0.0")
    before = question()
    wish = {"shape": {"shape": Attention(2, 16, 25)},
            "order": {"shape": Attention(2, 16, 24, heads_first=True)},
            "dtype": {"dtype": "float16"},
            "kernels": {"kernels": ("flash",)}}.get(changed, {})  # fmt: skip
    if changed == "driver":
        monkeypatch.setattr(choice, "machine", lambda _: {"gpu": "a card", "driver": "580.2"})
    if changed == "torch":
        monkeypatch.setattr(choice.torch, "__version__", "9.9")
    if changed == "package":
        monkeypatch.setattr(choice, "version_of", lambda _: "3.0.1")
    assert question(**wish) != before
    assert question() == before or changed in ("driver", "torch", "package")


def test_another_processor_is_another_question_and_no_other_build(monkeypatch):
    before, build = choice._question(SHAPE, "float32", "cpu", HERE), choice.machine("cpu")
    monkeypatch.setattr(choice, "cpu_field", lambda name: f"another {name}")
    assert choice._question(SHAPE, "float32", "cpu", HERE) == before | {
        "processor": "another model name"
    }
    assert choice.machine("cpu") == build


@pytest.fixture
def made_up(monkeypatch):
    """Kernels that take as long as they say: name to seconds of each call in turn (the last one
    stays), or to what they raise or give instead."""

    def use(kernels, shape=SHAPE):
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

        monkeypatch.setattr(measuring, "call_of", call_of)
        clock = lambda: now[0]  # noqa: E731
        times = SimpleNamespace(process_time=clock, perf_counter=clock)
        monkeypatch.setattr(measuring, "time", times)
        return ask(shape, kernels=tuple(kernels))

    return use


def test_the_first_call_and_one_that_was_disturbed_do_not_count(made_up):
    """Call 1 is compared with torch; call 3 was disturbed."""
    disturbed = [0.9, 0.01, 0.9, 0.01]
    assert made_up({"flash": [0.02], "cudnn": disturbed, "efficient": [0.03]}) == "cudnn"
    assert set(made_up.turn.values()) == {1 + measuring.ROUNDS}


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
        made_up({"flash": RuntimeError("head too wide"), "cudnn": ValueError()})


def test_one_kernel_is_taken_and_not_measured(home, never):
    never()
    assert ask(kernels=("flash",)) == "flash" and not notes(home)


def test_what_found_no_room_is_left_out_for_this_process_alone(made_up, home, never):
    kernels = {"math": torch.OutOfMemoryError("CUDA out of memory"), "flash": [0.1]}
    assert made_up(kernels) == "flash" and not notes(home)
    never()
    assert ask(kernels=tuple(kernels)) == "flash"


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_no_room_for_any_is_a_sentence_and_is_not_kept(made_up, home, error):
    with pytest.raises(BadInputError, match="no room on this device to measure in"):
        made_up({"math": error, "flash": error})
    assert not notes(home)


def test_a_cpu_without_memory_says_so_in_a_way_that_is_known():
    with pytest.raises(RuntimeError) as told:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(told.value)


@pytest.mark.skipif(not hasattr(psutil.Process(), "rlimit"), reason="the limit is Linux's")
def test_under_a_limit_of_memory_what_fits_is_taken(home, monkeypatch):
    """The matrix of products is 16384^2 x 4 bytes, 1 GiB; all else a few MB. What other tests left
    may be given back meanwhile, and makes room: 200 MB are allowed, and 800 more would not do.
    """
    monkeypatch.setattr(measuring, "ROUNDS", 1)
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (200 << 20), hard))
    try:
        name = ask(Attention(heads=1, head_dim=8, tokens=16384))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert name == "flash" and not notes(home)


@pytest.mark.parametrize("error", [ImportError("no _C"), TypeError("takes 3"), OSError("no .so")])
def test_a_package_may_fail_as_packages_do_and_torch_may_not(made_up, home, error):
    assert made_up({"flash3": error, "flash": [0.5]}) == "flash"
    assert json.loads(notes(home)[0].read_text("utf-8"))["left_out"] == {"flash3": str(error)}
    with pytest.raises(type(error)):
        made_up({"cudnn": error, "flash": [0.5]})


def test_handing_memory_back_does_not_hide_what_failed(monkeypatch):
    def fails():
        raise RuntimeError("CUDA error: device-side assert")

    monkeypatch.setattr(torch.cuda, "empty_cache", fails)
    with pytest.raises(ValueError, match="the first"), measuring._given_back("cuda"):
        raise ValueError("the first")
    with pytest.raises(RuntimeError, match="device-side"), measuring._given_back("cuda"):
        pass


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(home, never):
    (home / "cache" / "models").mkdir(parents=True)
    (home / "cache" / "models" / "attention").write_text("a file")
    never()
    with pytest.raises(OutputError, match="attention cannot be written: .*NEWSREEL_HOME, or name"):
        ask()


def test_a_full_disk_is_told_before_too(tmp_path, never):
    never()
    with small_disk(tmp_path, kilobytes=16) as disk:
        cache = BuildCache(disk)
        cache.note("attention", "another", {})
        with pytest.raises(OSError), (disk / "fills").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        with pytest.raises(OutputError, match="attention cannot be written: No space left .*name"):
            choice.fastest(SHAPE, "float32", "cpu", HERE, cache)


def test_who_waited_for_another_process_takes_what_that_one_found(never, monkeypatch):
    waits, hold, found = threading.Event(), build_cache._hold, []
    other = threading.Thread(target=lambda: found.append(ask()))
    never()
    with BuildCache().alone("attention"):
        monkeypatch.setattr(build_cache, "_hold", lambda handle: (waits.set(), hold(handle)))
        other.start()
        assert waits.wait(60) and not found
        question = choice._question(SHAPE, "float32", "cpu", HERE)
        BuildCache().note("attention", question, {"seconds": {"flash": 2.0, "math": 1.0}})
    other.join(60)
    assert found == ["math"]


def test_torchs_kernels_get_their_parts_as_the_model_lays_them(made_up):
    seen = {}

    def sees(name):
        def attend(parts):
            seen[name] = [part.transpose(1, 2).is_contiguous() for part in parts]
            return torch_attend(*parts)

        return attend

    for lead in (True, False):
        shape = Attention(heads=2, head_dim=16, tokens=24, heads_first=lead)
        made_up({"flash": sees("flash"), "flash3": sees("flash3")}, shape)
        assert seen == {"flash": [lead, lead, False], "flash3": [False] * 3}


def test_heads_lead_as_in_the_stock_processor(monkeypatch):
    from diffusers.models.attention_processor import Attention as Layer
    from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

    layer = Layer(32, dim_head=16, heads=2, qk_norm="layer_norm", bias=True,
                  processor=CogVideoXAttnProcessor2_0())  # fmt: skip
    stock, strides = F.scaled_dot_product_attention, []

    def spy(*parts, **options):
        strides.append([part.stride() for part in parts])
        return stock(*parts, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    turn = (torch.ones(20, 16), torch.zeros(20, 16))
    with torch.no_grad():
        layer(torch.randn(1, 20, 32), encoder_hidden_states=torch.randn(1, 4, 32),
              image_rotary_emb=turn)  # fmt: skip
    torch_attend(*measuring.heads_first([torch.randn(1, 24, 2, 16) for _ in range(3)]))
    assert strides[0] == strides[1]


def test_the_bound_lets_rounding_pass_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, 256, 2, 64, generator=generator) for _ in range(3)]
    expected = torch_attend(*parts)
    rounded = torch_attend(*(part.bfloat16() for part in parts)).float()
    assert measuring._differs(rounded, expected, torch.bfloat16) == ""
    shifted = torch_attend(parts[0], parts[1].roll(1, 2), parts[2])
    assert measuring._differs(shifted, expected, torch.bfloat16)
