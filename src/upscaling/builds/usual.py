"""The forms of torch that run where nobody asks for another."""

from __future__ import annotations

from src.core.devices import bf16_is_fast
from src.upscaling.builds.folded import FoldedForm
from src.upscaling.builds.forms import Form, TorchForm
from src.upscaling.network import VideoNetwork


def float_form(network: VideoNetwork) -> Form:
    """Torch in float32, as the network's device computes it fastest."""
    return TorchForm(network) if _on_cuda(network) else FoldedForm(network)


def usual_form(network: VideoNetwork) -> Form:
    """`float_form`, and bfloat16 on a GPU that has it."""
    half = _on_cuda(network) and bf16_is_fast("cuda")
    return TorchForm(network, half=True) if half else float_form(network)


def _on_cuda(network: VideoNetwork) -> bool:
    return next(network.parameters()).device.type == "cuda"
