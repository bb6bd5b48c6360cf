import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from src.core.plan import Adapter, Cache, Plan, SessionKey, Size
from src.engine.batching.microbatches import changes, group, microbatches


def plan(model="a", adapter="", frames=9, prompt="p"):
    return Plan(
        mode="optimized", profile="plain", weights={}, image_sha256="", fit="cover", prompt=prompt,
        negative_prompt="", session=SessionKey(model=model, source="", device="cpu",
                                               dtype="float32"), max_sequence_length=32,
        scheduler="dpm", timesteps=(999,), guidance=(1.0,), num_frames=frames, fps=8,
        native=Size(width=64, height=48), delivered=Size(width=64, height=48), upscaler="lanczos",
        seed=0, score=False, adapters=(Adapter(file="f", sha256=adapter),) if adapter else (),
    )  # fmt: skip


plans = st.lists(
    st.builds(
        plan,
        st.sampled_from("ab"),
        st.sampled_from(["", "x", "y"]),
        st.sampled_from([9, 17]),
        st.sampled_from("pq"),
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


@given(plans, st.integers(1, 4))
def test_bundles_keep_the_order_and_hold_only_what_can_share_a_forward(items, most):
    batches = microbatches(items, lambda item: item, lambda _: most)
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) <= most for batch in batches)
    for batch in batches:
        assert len({(p.session, p.adapters, p.num_frames) for p in batch}) == 1
    for one, next_one in pairwise(batches):
        apart = (one[0].session, one[0].adapters, one[0].num_frames) != (
            next_one[0].session, next_one[0].adapters, next_one[0].num_frames,
        )  # fmt: skip
        assert apart or len(one) == most


def test_a_cache_and_the_stock_pipeline_stand_alone():
    for change in ({"cache": Cache(name="first_block", threshold=0.1)}, {"mode": "baseline"}):
        items = [plan().model_copy(update=change)] * 3
        assert microbatches(items, lambda item: item, lambda _: 3) == [[item] for item in items]
