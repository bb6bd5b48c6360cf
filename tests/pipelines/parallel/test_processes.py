"""Two and four processes against one, on a tiny seeded model whose tokens none of them divides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

from src.core.devices import cpu_threads
from src.core.plan import Cache, Size
from src.core.progress import CancelToken, ignore
from src.engine.session import Session
from src.pipelines.blueprint import TINY, TINY_NANO
from src.pipelines.building import build_pipeline
from src.pipelines.cogvideox import conditioning
from src.pipelines.cogvideox.small import see_frames_alone
from src.pipelines.cogvideox.steps import guide
from src.pipelines.parallel.division import plan_division
from src.pipelines.parallel.traffic import Forward, bytes_sent
from tests.pipelines.parallel.kit import make, together

HEADS = 4
SIZE = Size(width=48, height=48)
FORWARD = Forward(text=31, video=27, heads=HEADS, head_dim=16, layers=2, out=16, width=4)
"""Of 9 frames: 3 latent frames of 3 x 3 tokens. 31 and 27 are odd: no share is that of another."""
GUIDED, UNGUIDED = (4.0, 4.0, 4.0), (1.0, 1.0)
CASES = {
    "guided": {"guidance": GUIDED},
    "interval": {"guidance": (4.0, 1.0, 4.0)},
    "skipping": {"guidance": GUIDED, "skipped": (1,)},
    "unguided": {"guidance": UNGUIDED},
    "long": {"guidance": UNGUIDED, "num_frames": 25},
    "tiled": {"guidance": UNGUIDED, "num_frames": 25, "tiling": True},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As the others: sums split among threads have other last bits."""
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "tiny"
    return build_pipeline(
        replace(TINY, heads=HEADS, text_length=31, width=48), ["pan left"], place, seed=0
    )


@pytest.fixture(scope="module")
def small():
    return np.random.default_rng(1).integers(0, 255, (48, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def plan_for(make_plan):
    def plan(gpus, guidance, num_frames=9, tiling=False, vae="fast", skipped=()):
        base = make_plan(
            steps=len(guidance), guidance=guidance, num_frames=num_frames, native=SIZE,
            delivered=SIZE, max_sequence_length=31,
            cache=Cache(name="magcache" if skipped else "none", skipped=skipped),
        )  # fmt: skip
        session = {"gpus": gpus, "tiling": tiling, "vae": vae}
        division = plan_division(gpus, HEADS, max(guidance) > 1) if gpus > 1 else None
        return base.model_copy(
            update={"session": base.session.model_copy(update=session), "division": division}
        )

    return plan


@pytest.fixture(scope="module")
def alone(folder, small, plan_for):
    """What one process makes of each case."""
    sessions = {}

    def one(case):
        plan = plan_for(1, **CASES[case])
        session = sessions.setdefault("one", Session(plan.session, folder))
        session.load()
        return make(session, plan, small)

    return {case: one(case) for case in CASES}


@pytest.fixture(scope="module", params=[2, 4])
def several(request, folder, small, plan_for, tmp_path_factory):
    """How many processes, and what each made of each case."""
    count = request.param
    place = tmp_path_factory.mktemp(f"group{count}")
    made = together(place, folder, [plan_for(count, **case) for case in CASES.values()], small)
    return count, [dict(zip(CASES, each, strict=True)) for each in made]


@pytest.fixture(scope="module")
def rounding(folder, small, plan_for):
    """How far float32 is from float64 in one guided forward of this model: the same numbers in, and
    what sums in the one and the other differ by. Sums in another order lie as far apart.
    """
    plan = plan_for(1, GUIDED)
    session = Session(plan.session, folder)
    pipe = session.load()
    session._set_scheduler(plan)
    clip = conditioning.begin(pipe, plan, small, torch.Generator().manual_seed(3))
    embeds = clip.start.prompt_embeds
    kwargs = {
        "hidden_states": torch.cat([torch.cat([clip.latents, clip.start.image_latents], 2)] * 2),
        "encoder_hidden_states": embeds, "timestep": torch.tensor([500, 500]),
        "image_rotary_emb": clip.start.rotary, "return_dict": False,
    }  # fmt: skip
    pipe.transformer.set_attn_processor(CogVideoXAttnProcessor2_0())
    with torch.no_grad():
        single = pipe.transformer(**kwargs)[0]
        double = {
            name: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
            for name, value in kwargs.items()
        }
        exact = pipe.transformer.double()(**double)[0]
    both = guide(exact, 4.0)
    error = float((guide(single.double(), 4.0) - both).abs().max())
    assert 0 < error < 1e-4 * float(both.abs().max())
    return error


@pytest.mark.parametrize("case", CASES)
def test_latents_are_those_of_one_process_to_rounding(several, alone, rounding, case):
    """A step adds what its forward rounds by, and carries on what it was given: neither the solver
    nor this network enlarges it eightfold.
    """
    _, made = several
    steps = len(CASES[case]["guidance"])
    bound = rounding * sum(8**step for step in range(steps))
    for each in made:
        assert np.abs(each[case].latents - alone[case].latents).max() <= bound
        assert np.array_equal(each[case].latents, made[0][case].latents)


@pytest.mark.parametrize("case", CASES)
def test_frames_are_those_of_one_process(several, alone, case):
    """Bit for bit where the latents are; else a colour may round to its neighbour."""
    _, made = several
    assert [each[case].frames is None for each in made[1:]] == [True] * (len(made) - 1)
    frames, wanted = made[0][case].frames, alone[case].frames
    assert frames.shape == wanted.shape
    assert np.abs(frames.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("case", ["long", "tiled"])
def test_decoding_is_bit_equal_for_equal_latents(several, alone, folder, plan_for, case):
    _, made = several
    plan = plan_for(1, **CASES[case])
    session = Session(plan.session, folder)
    latents = torch.from_numpy(made[0][case].latents)
    pieces = session.family.loop.decode(
        session.load(), latents, ignore, CancelToken(), plan.session.tiling
    )
    assert np.array_equal(made[0][case].frames, np.concatenate(list(pieces)))


@pytest.mark.parametrize("case", ["guided", "interval", "unguided"])
def test_what_is_sent_is_what_the_formula_says(several, case):
    count, made = several
    guidance = CASES[case]["guidance"]
    division = plan_division(count, HEADS, max(guidance) > 1)
    for rank, each in enumerate(made):
        expected = [bytes_sent(FORWARD, division, rank, scale > 1) for scale in guidance]
        assert each[case].steps == expected
        assert all(expected)


def test_pieces_hand_on_their_history_and_tiles_nothing(several):
    _, made = several
    assert [each["tiled"].decoding for each in made] == [0] * len(made)
    sent = [each["long"].decoding for each in made]
    # 7 latent frames are 3 pieces: processes 0 and 1 hand on, and nobody after the last piece
    assert [bool(each) for each in sent] == [True, True, False, False][: len(sent)]


def test_a_model_in_the_form_of_the_embedded_one(tmp_path, make_plan, picture):
    """Several frames to a token, five heads, a decoder without history, which hands on nothing."""
    folder = build_pipeline(replace(TINY_NANO, heads=5), ["pan left"], tmp_path / "nano", seed=0)
    vae = AutoencoderKLCogVideoX.from_pretrained(folder / "vae")
    see_frames_alone(vae.decoder)
    vae.save_pretrained(folder / "vae")
    plan = make_plan(steps=3, guidance=(4.0, 1.0, 4.0))
    one = make(Session(plan.session, folder), plan, picture)
    update = {
        "session": plan.session.model_copy(update={"gpus": 2}),
        "division": plan_division(2, 5, True),
    }
    made = together(tmp_path, folder, [plan.model_copy(update=update)], picture)
    assert np.abs(made[0][0].frames.astype(int) - one.frames).max() <= 1
    assert [each[0].decoding for each in made] == [0, 0]
    assert [bool(sent) for sent in made[0][0].steps] == [True, False, True]
