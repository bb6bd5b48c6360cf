"""The processor against diffusers' own: equal to rounding."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, CogVideoXAttnProcessor2_0

from src.pipelines.cogvideox.fast_attention import FastAttention, use_fast_attention
from src.pipelines.loading import load_pipeline, read_pipeline


def layer(qk_norm):
    torch.manual_seed(0)
    return Attention(
        query_dim=24, heads=3, dim_head=8, bias=True, out_bias=True, qk_norm=qk_norm, eps=1e-6,
        processor=CogVideoXAttnProcessor2_0(),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("qk_norm", ["layer_norm", None])
@pytest.mark.parametrize("rotary", [True, False])
@torch.no_grad()
def test_equal_to_the_stock_processor(qk_norm, rotary):
    attn, text, video = layer(qk_norm), torch.randn(2, 5, 24), torch.randn(2, 12, 24)
    angles = torch.rand(12, 4).repeat_interleave(2, dim=1)
    positions = (angles.cos(), angles.sin()) if rotary else None
    expected = attn(video, encoder_hidden_states=text, image_rotary_emb=positions)
    attn.set_processor(FastAttention())
    found = attn(video, encoder_hidden_states=text, image_rotary_emb=positions)
    assert all(
        torch.allclose(one, other, atol=1e-6) for one, other in zip(found, expected, strict=True)
    )


def test_the_stock_form_keeps_the_stock_processor(tiny_folder, make_plan):
    key = make_plan().session
    for vae, kind in (("fast", FastAttention), ("stock", CogVideoXAttnProcessor2_0)):
        pipe = load_pipeline(tiny_folder, key.model_copy(update={"vae": vae}))
        assert {type(processor) for processor in pipe.transformer.attn_processors.values()} == {
            kind
        }


def test_another_kind_of_attention_is_an_error(tiny_folder):
    transformer = read_pipeline(tiny_folder, torch.float32).transformer
    assert use_fast_attention(transformer) > 0
    with pytest.raises(ValueError, match="attends by FastAttention"):
        use_fast_attention(transformer)
