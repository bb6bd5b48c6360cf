"""Skipping the transformer's blocks in the steps that a plan names.

At a computed step the residual is kept: what all blocks together add to the tokens. At a skipped
one the first block gives the tokens with it, and the others hand on what they get. The hooks lie
around whole blocks, so compiling, adapters, offload and quantisation inside go on as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.hooks.hooks import BaseState, CacheContext, StateManager
from torch import Tensor, nn

from src.core.errors import SwitchError
from src.pipelines.family import Part

NAME = "newsreel_step_skipping"


class _State(BaseState):
    """entered: the tokens that the first block got. residual: of the last computed step."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.entered: Tensor | None = None
        self.residual: Tensor | None = None


class _Hook(ModelHook):
    """Around one block. skips: whether the step that runs is skipped."""

    _is_stateful = True

    def __init__(
        self, states: StateManager, ends: tuple[bool, bool], skips: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.states, self.skips = states, skips
        self.first, self.last = ends

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        self.form = block_metadata(module)
        return module

    def reset_state(self, module: nn.Module) -> nn.Module:
        self.states.reset()
        return module

    @torch.compiler.disable
    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self.states._context is None:
            self.states.set_context(CacheContext(name="both"))
        state = self.states.get_state()
        tokens = given_tokens(self.form, args, kwargs)
        if self.skips():
            return self._handed_on(tokens + state.residual if self.first else tokens, args, kwargs)
        state.entered = tokens if self.first else state.entered
        made = self.fn_ref.original_forward(*args, **kwargs)
        if self.last:
            state.residual, state.entered = made_tokens(self.form, made) - state.entered, None
        return made

    def _handed_on(self, tokens: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a block returns: the tokens, with the text's where it returns both."""
        text = self.form.return_encoder_hidden_states_index
        if text is None:
            return tokens
        pair = [tokens, tokens]
        pair[text] = given_tokens(self.form, args, kwargs, "encoder_hidden_states")
        return tuple(pair)


def block_metadata(block: nn.Module) -> TransformerBlockMetadata:
    """Which of a block's arguments and results are tokens. Raises SwitchError for blocks that
    diffusers does not describe."""
    try:
        return TransformerBlockRegistry.get(type(block))
    except ValueError as error:
        raise SwitchError(
            "cache", f"--cache has no effect on blocks of {type(block).__name__}"
        ) from error


def given_tokens(
    form: TransformerBlockMetadata,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str = "hidden_states",
) -> Tensor:
    """What a block is called with: the tokens (B, N, D), or the text's."""
    return form._get_parameter_from_args_kwargs(name, args, kwargs)


def made_tokens(form: TransformerBlockMetadata, made: Any) -> Tensor:
    """The tokens (B, N, D) of what a block returns."""
    return made[form.return_hidden_states_index] if isinstance(made, tuple) else made


def skip_steps(transformer: Any, part: Part, skipped: Collection[int]) -> None:
    """Skip the blocks in these steps, as `transformer.newsreel_step` tells which one runs. part:
    what the transformer is.

    Raises SwitchError for blocks that diffusers does not describe.
    """
    blocks, chosen = list(part.blocks_of(transformer)), frozenset(skipped)
    HookRegistry.check_if_exists_or_initialize(transformer)  # which tells blocks their context
    states = StateManager(_State)
    for number, block in enumerate(blocks):
        ends = (number == 0, number == len(blocks) - 1)
        hook = _Hook(states, ends, lambda: transformer.newsreel_step in chosen)
        HookRegistry.check_if_exists_or_initialize(block).register_hook(hook, NAME)
    transformer._diffusers_hook.invalidate_child_registries_cache()


def stop_skipping(transformer: Any, part: Part) -> None:
    """Take the hooks off, and let go of what they keep; nothing where there are none."""
    for block in part.blocks_of(transformer):
        registry = getattr(block, "_diffusers_hook", None)
        if registry is not None:
            registry.remove_hook(NAME, recurse=False)
    registry = getattr(transformer, "_diffusers_hook", None)
    if registry is not None:
        registry.invalidate_child_registries_cache()
