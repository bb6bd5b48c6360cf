import random

from hypothesis import given
from hypothesis import strategies as st

from src.core.plan import Adapter, Plan, SessionKey, Size
from src.jobs.grouping import changes, group


def plan(model="a", adapter="", frames=9, prompt="p"):
    return Plan(
        mode="optimized", profile="plain", weights={}, image_sha256="", fit="cover", prompt=prompt, negative_prompt="",
        session=SessionKey(model=model, source="", device="cpu", dtype="float32"), max_sequence_length=32,
        scheduler="dpm", timesteps=(999,), guidance=(1.0,), num_frames=frames, fps=8, native=Size(width=64, height=48),
        delivered=Size(width=64, height=48), upscaler="lanczos", seed=0, score=False,
        adapters=(Adapter(file="f", sha256=adapter),) if adapter else (),
    )  # fmt: skip


plans = st.lists(
    st.builds(
        plan, st.sampled_from("ab"), st.sampled_from(["", "x", "y"]), st.sampled_from([9, 17]), st.sampled_from("pq")
    )
)


@given(plans)
def test_nothing_is_lost_and_models_change_least(items):
    ordered = group(items, lambda item: item)
    assert sorted(p.digest() for p in ordered) == sorted(p.digest() for p in items)
    assert changes(ordered)["session"] == max(len({p.session for p in items}) - 1, 0)


@given(plans)
def test_grouping_again_changes_nothing(items):
    once = group(items, lambda item: item)
    assert group(once, lambda item: item) == once


def test_adapters_then_sizes_then_prompts():
    items = [plan(m, a, f, p) for m in "ab" for a in ("", "x") for f in (9, 17) for p in "pq"]
    random.Random(0).shuffle(items)
    counted = changes(group(items, lambda item: item))
    assert counted["session"] == 1
    assert counted["adapters"] <= 3
    assert counted["shape"] <= 7


def test_what_was_asked_first_starts_first():
    items = [plan("b"), plan("a"), plan("b", prompt="q")]
    assert [p.session.model for p in group(items, lambda item: item)] == ["b", "b", "a"]
