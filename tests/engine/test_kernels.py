"""Attention kernels of packages are refused in a sentence before anything loads; the fastest exact
one is measured on the model's own attention, and told in the plan.
"""

import pytest

from src.core.errors import BadInputError, MissingWeightsError
from src.core.plan import Division
from src.core.result import Costs
from src.engine import kernels, machine
from src.engine import manifest as manifests
from src.engine.fallback import without
from src.engine.generate import generate, plans_for, prepare
from src.engine.kernels import exact_kernels, with_kernels
from src.engine.manifest import read_manifest
from src.engine.planner import choices
from src.engine.replay import check_hardware, differences
from src.pipelines import attention_choice, attention_kernels
from src.pipelines.fake.family import Fake
from src.pipelines.fake.parts import build_fake
from src.pipelines.family import Attention
from tests.engine.planner_kit import SPEC, gpu, request

BOTH = ("flash3", "sage")
HOPPER = {"capability": (9, 0), "kernels": BOTH}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("card", "error", "sentence"),
    [
        ({"device": "cpu"}, BadInputError, "is a CUDA kernel; on a CPU there are flash and math"),
        (
            {"capability": (7, 5)},
            BadInputError,
            "is built .*, not for a GPU; flash and",
        ),
        ({"vendor": "amd"}, BadInputError, "is built for NVIDIA cards"),
        ({"kernels": ()}, MissingWeightsError, "needs the package .* or later, which is built"),
    ],
)
def test_what_a_machine_lacks_is_told_in_a_sentence(name, card, error, sentence):
    with pytest.raises(error, match=f"^--attention {name} {sentence}"):
        choices(request(attention=name), SPEC, gpu(140, **HOPPER | card))


@pytest.mark.parametrize(
    ("capability", "takes"),
    [((8, 0), {"sage"}), ((8, 9), {"sage"}), ((9, 0), set(BOTH)), ((10, 0), set()),
     ((12, 0), {"sage"})],
)  # fmt: skip
def test_a_card_takes_what_is_built_for_it(capability, takes):
    card = gpu(140, capability, kernels=BOTH)
    assert {name for name in BOTH if not machine.machine_lacks(name, card)} == takes
    for name in takes:
        assert choices(request(attention=name), SPEC, card)[0].profile.attention == name


@pytest.mark.parametrize(
    ("name", "dtype", "head_dim", "lacks"),
    [
        ("sage", "bfloat16", 64, ""),
        ("sage", "float16", 128, ""),
        ("sage", "bfloat16", 256, "takes heads of at most 128 numbers, and this model's have 256"),
        ("flash3", "bfloat16", 256, ""),
        ("flash3", "bfloat16", 36, "takes heads of at most 256 numbers in multiples of 8"),
        ("flash3", "float32", 64, "takes bfloat16 or float16, not float32; leave --dtype out"),
    ],
)
def test_a_kernel_takes_halves_and_heads_of_its_size(name, dtype, head_dim, lacks):
    found = kernels.model_lacks(name, dtype, head_dim)
    assert found.startswith(lacks) and bool(found) == bool(lacks)


@pytest.mark.parametrize(
    ("versions", "there"),
    [
        ({}, ()),
        ({"sageattention": "1.0.6"}, ()),
        ({"sageattention": "2.1.1"}, ("sage",)),
        ({"sageattention": "2.2.0+cu128torch2.13"}, ("sage",)),
        ({"flash_attn_3": "3.0.0b1", "sageattention": "2.2.0"}, BOTH),
    ],
)
def test_a_package_counts_from_its_least_version_on(monkeypatch, versions, there):
    monkeypatch.setattr(attention_kernels, "has_package", lambda _: True)
    monkeypatch.setattr(attention_kernels, "version_of", lambda name: versions.get(name, ""))
    assert attention_kernels.installed_kernels() == there
    monkeypatch.setattr(attention_kernels, "has_package", lambda _: False)
    assert attention_kernels.installed_kernels() == ()


def planned(request_for, cpu, **fields):
    return plans_for(prepare(request_for(**fields)), cpu)


def test_what_the_model_does_not_take_is_told_before_it_loads(request_for, cpu, monkeypatch):
    """The machine's own check is left out: here is no card that would pass it."""
    monkeypatch.setattr(machine, "_check_attention", lambda *_: None)
    with pytest.raises(BadInputError, match="^--attention sage takes bfloat16 or float16, not f"):
        planned(request_for, cpu, attention="sage", dtype="float32")
    assert planned(request_for, cpu, attention="sage", dtype="bfloat16")[0].determinism != "exact"


def test_a_family_whose_attention_takes_none_is_named(request_for, cpu, tmp_path, monkeypatch):
    (plan, *_) = planned(request_for, cpu, attention="flash")
    folder = build_fake(tmp_path / "fake", seed=0)
    plan = plan.model_copy(
        update={"session": plan.session.model_copy(update={"attention": "measured"})}
    )
    monkeypatch.setattr(kernels, "family_of", lambda _: Fake())
    with pytest.raises(BadInputError, match="^--attention measured does not apply to .* of Fake"):
        with_kernels((plan,), SPEC, folder, cpu)


@pytest.mark.parametrize(
    ("card", "dtype", "head_dim", "measured"),
    [
        (gpu(80, **HOPPER), "bfloat16", 64, ("flash", "cudnn", "efficient", "flash3")),
        (gpu(80, **HOPPER), "float32", 64, ("flash", "cudnn", "efficient")),
        (gpu(80, **HOPPER), "bfloat16", 36, ("flash", "cudnn", "efficient")),
        (gpu(80, (8, 9), kernels=BOTH), "bfloat16", 64, ("flash", "cudnn", "efficient")),
        (gpu(80, vendor="amd"), "bfloat16", 64, ("flash", "efficient")),
    ],
)
def test_only_kernels_of_the_same_sums_are_measured(card, dtype, head_dim, measured):
    assert exact_kernels(Attention(48, head_dim, 17_776), dtype, card) == measured


@pytest.mark.parametrize(
    ("free", "shape", "measured"),
    [
        (96_000_000, Attention(2, 64, 1000), ("flash", "math")),
        (95_999_999, Attention(2, 64, 1000), ("flash",)),
        (64 << 30, Attention(48, 64, 17_776), ("flash",)),
    ],
)
def test_a_cpu_measures_math_where_its_matrices_fit_well(free, shape, measured):
    """Three of 2 x 1000^2 x 4 bytes, in a quarter of what is free."""
    card = gpu(1, device="cpu", free_memory=free)
    assert exact_kernels(shape, "float32", card) == measured


def test_heads_lie_first_where_the_stock_processor_attends(request_for, cpu):
    prepared = prepare(request_for())
    (plan, *_) = plans_for(prepared, cpu)

    def lead(**key):
        session = plan.session.model_copy(update=key)
        asked = plan.model_copy(update={"session": session})
        family = kernels.family_of(prepared.spec)
        return family.attention(prepared.folder, kernels.read_config, asked).heads_first

    assert not lead() and lead(device="cuda") and not lead(device="cuda", gpus=2)


def test_the_measured_kernel_is_in_plan_and_manifest(request_for, cpu, monkeypatch):
    prepared = prepare(request_for(attention="measured"))
    plans = plans_for(prepared, cpu)
    assert {plan.session.attention for plan in plans} <= {"flash", "math"}
    assert all(plan.attention_measured for plan in plans)
    monkeypatch.setattr(
        attention_choice, "measure_kernels", lambda *_: pytest.fail("measured again")
    )
    assert plans_for(prepared, cpu) == plans
    manifest = read_manifest(generate(prepared, plans, cpu).manifest)
    assert manifest.plan == plans[0] and manifest.plan.digest() == plans[0].digest()
    plain = without(plans[0], "attention")
    assert (plain.session.attention, plain.attention_measured) == ("auto", False)


def test_several_processes_measure_their_share_of_the_heads(request_for, cpu, monkeypatch):
    asked = []
    monkeypatch.setattr(
        attention_choice, "fastest", lambda shape, *_: asked.append(shape) or "flash"
    )
    prepared = prepare(request_for(attention="measured"))
    (plan, *_) = plans_for(prepared, cpu)
    both = plan.model_copy(
        update={
            "session": plan.session.model_copy(update={"attention": "measured"}),
            "division": Division(branches=1, sequence=2, unguided=2),
        }
    )
    with_kernels((both,), prepared.spec, prepared.folder, cpu)
    assert asked[1].heads * 2 == asked[0].heads and asked[1].tokens == asked[0].tokens


@pytest.fixture
def of_sage(make):
    """A result, and its manifest as a card would have made it."""
    result = make()
    manifest = read_manifest(result.manifest)
    session = manifest.plan.session.model_copy(update={"attention": "sage", "device": "cuda"})
    plan = manifest.plan.model_copy(update={"session": session})
    return result, manifest.model_copy(update={"plan": plan})


def test_a_clip_of_such_a_kernel_is_replayed_where_it_is(of_sage):
    _, manifest = of_sage
    check_hardware(manifest, gpu(80, **HOPPER))
    with pytest.raises(MissingWeightsError, match="^this clip was made with --attention sage, whi"):
        check_hardware(manifest, gpu(80))
    with pytest.raises(BadInputError, match="replay it on a machine that has one, not on a GPU$"):
        check_hardware(manifest, gpu(80, (10, 0), kernels=BOTH))


def test_the_package_of_the_kernel_is_among_what_computed(of_sage, monkeypatch, cpu):
    result, manifest = of_sage
    monkeypatch.setattr(manifests, "version_of", lambda name: f"2.2.0 of {name}")
    usual = manifests.versions()
    assert manifest.versions == usual == manifests.versions("flash")
    assert manifests.versions("sage") == usual | {"sageattention": "2.2.0 of sageattention"}
    then = manifest.versions | {"sageattention": "2.1.1"}
    other = manifest.model_copy(update={"frame_sha256": "0" * 64, "versions": then})
    told = "since then: sageattention 2.1.1 -> 2.2.0 of sageattention"
    assert told in differences(other, result, cpu)


def test_a_manifest_names_the_package_of_its_plans_kernel(request_for, cpu, monkeypatch):
    prepared = prepare(request_for())
    (plan, *_) = plans_for(prepared, cpu)
    monkeypatch.setattr(manifests, "version_of", lambda _: "3.0.0b1")
    session = plan.session.model_copy(update={"attention": "flash3"})
    made = manifests.build_manifest(
        prepared.request, plan.model_copy(update={"session": session}), cpu, "photograph.png",
        manifests.PublishedClip(file="clip.mp4", sha256="0", bytes=1), frame_sha256="0",
        costs=Costs.model_construct(),
    )  # fmt: skip
    assert made.versions["flash_attn_3"] == "3.0.0b1"
