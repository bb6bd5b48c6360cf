"""The loop of one process among several: its branch of guidance, its tokens, its heads.

Text and video are each split into consecutive shares, so that a process holds some of both. Norms,
feed-forward and projections work token by token and do not notice. Around the attention a process
exchanges its tokens, with their positions turned in, for all tokens of some heads: they arrive in
the order of the processes, which a joint attention over text and video does not depend on. The sums
are those of one process in another order, and so equal to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.core.plan import Plan
from src.core.progress import CancelToken, Listener
from src.pipelines.attending import torch_attend
from src.pipelines.cogvideox import conditioning, divided_decoding, steps
from src.pipelines.cogvideox import loop as usual
from src.pipelines.cogvideox.kernel_attention import KernelAttention, with_positions
from src.pipelines.parallel.division import shares
from src.pipelines.parallel.ranks import Ranks, Team
from src.pipelines.parallel.traffic import Forward
from src.pipelines.sides import ClipState, Step


@dataclass
class Shares:
    """What holds for one forward: the team that shares it, and how many tokens each has of text and
    video.
    """

    team: Team
    text: list[int] = field(default_factory=list)
    video: list[int] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether this process computes all tokens."""
        return self.team.size == 1

    def mine(self, tokens: Tensor, counts: Sequence[int], dim: int) -> Tensor:
        """This process's share of all tokens."""
        return tokens.split(list(counts), dim)[self.team.index]

    @property
    def tokens(self) -> list[int]:
        """Of text and video together."""
        return [text + video for text, video in zip(self.text, self.video, strict=True)]


def divide(pipe: Any, ranks: Ranks) -> "DividedLoop":
    """Teach a loaded pipeline to share its forwards; returns the loop that makes it do so."""
    transformer, held = pipe.transformer, Shares(ranks.alone)
    for block in transformer.transformer_blocks:
        block.attn1.set_processor(DividedAttention(held, block.attn1.processor))
    transformer.transformer_blocks[0].register_forward_pre_hook(_splitting(held), with_kwargs=True)
    transformer.proj_out.register_forward_hook(_gathering(held))
    return DividedLoop(ranks, held)


def _splitting(held: Shares) -> Callable[..., Any]:
    """Before the first block: this process's tokens of what the forward embedded."""

    def hook(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        if held.whole:
            return args, kwargs
        video = held.mine(kwargs["hidden_states"], held.video, 1)
        text = held.mine(kwargs["encoder_hidden_states"], held.text, 1)
        return args, kwargs | {"hidden_states": video, "encoder_hidden_states": text}

    return hook


def _gathering(held: Shares) -> Callable[..., Any]:
    """After the last projection: what all of the team predicted."""

    def hook(_: nn.Module, __: tuple, predicted: Tensor) -> Tensor:
        if held.whole:
            return predicted
        return held.team.gather(predicted.transpose(0, 1), held.video).transpose(0, 1)

    return hook


class DividedAttention:
    """In the place of a stock or fast processor, which still works where nothing is shared."""

    def __init__(self, held: Shares, alone: Any) -> None:
        self.held, self.alone = held, alone
        self.attend = alone.attend if isinstance(alone, KernelAttention) else torch_attend

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor,
        attention_mask: None = None, image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """This process's video (B, v, D) and text (B, s, D) to the same; rotary: of all video
        tokens, (V, D / heads).
        """
        if self.held.whole:
            return self.alone(
                attn, hidden_states, encoder_hidden_states, image_rotary_emb=image_rotary_emb
            )
        text = encoder_hidden_states.shape[1]
        own = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        made = self._attend(*self._turned(attn, own, text, image_rotary_emb))
        made = attn.to_out[1](attn.to_out[0](made))
        return made[:, text:], made[:, :text]

    def _turned(
        self, attn: Any, own: Tensor, text: int, rotary: tuple[Tensor, Tensor] | None
    ) -> list[Tensor]:
        """Queries, keys and values (B, s + v, heads, d), positions turned into the first two."""
        if rotary is None:
            return with_positions(attn, own, text, None)
        cosines, sines = (self.held.mine(table, self.held.video, 0) for table in rotary)
        return with_positions(attn, own, text, (cosines, sines))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, s + v, D) of all tokens' attention."""
        team, counts = self.held.team, self.held.tokens
        own = [counts[team.index]] * team.size
        mine = torch.stack([query, key, value], dim=2).unflatten(3, (team.size, -1))
        # (B, tokens, 3, team, heads, d) to (team and tokens, B, 3, heads, d)
        rows = mine.movedim(3, 0).transpose(1, 2).flatten(0, 1)
        heads = team.exchange(rows, own, counts).permute(2, 1, 3, 0, 4)
        made = self.attend(*(part.transpose(1, 2) for part in heads))
        back = team.exchange(made.transpose(0, 1), counts, own)
        # (team and tokens, B, heads, d) to (B, tokens, team and heads and d)
        return back.unflatten(0, (team.size, -1)).permute(2, 1, 0, 3, 4).flatten(2)


@dataclass
class DividedLoop:
    """`src.pipelines.sides.Loop` of one process among several; what it does not say is the usual
    loop's.
    """

    ranks: Ranks
    held: Shares

    def begin(
        self, pipe: Any, plan: Plan, pixels: np.ndarray, generator: torch.Generator
    ) -> ClipState:
        """Each process encodes and draws for itself: the same, for the generator is on the CPU."""
        assert plan.division is not None
        self.ranks.lay_out(plan.division)
        return conditioning.begin(pipe, plan, pixels, generator)

    def predict(self, pipe: Any, clips: Sequence[ClipState], step: Step) -> Sequence[Tensor]:
        """As the usual loop's, and the same in every process."""
        begin = self.ranks.sent
        guided = step.scale > 1
        self._share(pipe, clips[0], guided)
        across = self.ranks.across(guided)
        if across is None:
            made = steps.predict(pipe, clips, step)
        else:
            branch = (0, -1)[across.index]
            own = steps.forward(pipe, [(clip, branch) for clip in clips], step)
            both = across.gather(own, [len(own)] * 2)
            made = steps.guide(both, step.scale).split(1)
        self.ranks.steps.append(self.ranks.sent - begin)
        return made

    def _share(self, pipe: Any, clip: ClipState, guided: bool) -> None:
        """Set who shares the tokens of the forward that comes."""
        sizes = sizes_of(pipe, clip)
        self.held.team = team = self.ranks.team(guided)
        self.held.text, self.held.video = (
            shares(sizes.text, team.size),
            shares(sizes.video, team.size),
        )

    def decode(
        self,
        pipe: Any,
        latents: Tensor,
        listener: Listener,
        cancel: CancelToken,
        tiling: bool = False,
    ) -> Iterator[np.ndarray]:
        """Frames in order in the first process, none in the others."""
        return divided_decoding.decode_divided(pipe, latents, listener, cancel, tiling, self.ranks)

    advance = staticmethod(usual.advance)
    finish = staticmethod(usual.finish)
    picture = staticmethod(usual.picture)
    speed_up = staticmethod(usual.speed_up)
    speed_up_vae = staticmethod(usual.speed_up_vae)
    use_kernel = staticmethod(usual.use_kernel)
    vae_latents = staticmethod(usual.vae_latents)


def sizes_of(pipe: Any, clip: ClipState) -> Forward:
    """The sizes of a forward of one clip."""
    config: Any = pipe.transformer.config
    _, frames, _, height, width = clip.latents.shape
    patch, patch_t = config.patch_size, config.patch_size_t or 1
    return Forward(
        text=clip.start.prompt_embeds.shape[1],
        video=frames // patch_t * (height // patch) * (width // patch),
        heads=config.num_attention_heads,
        head_dim=config.attention_head_dim,
        layers=config.num_layers,
        out=config.out_channels * patch**2 * patch_t,
        width=clip.latents.element_size(),
    )
