"""ONNX Runtime: exported graphs on its CPU provider, or on a GPU as TensorRT builds them.

The package is an extra and is imported where it is used. Tensors are bound where they lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from torch import Tensor

from src.core.errors import BadInputError
from src.upscaling.builds.exported import INPUTS, GraphForm, graph_names
from src.upscaling.network import VideoNetwork

CPU = "CPUExecutionProvider"


def load_onnx(
    name: str,
    network: VideoNetwork,
    folder: Path,
    providers: Callable[[str], list[Any]] = lambda _: [CPU],
) -> GraphForm:
    """The graphs of a folder. Takes as many threads as torch does now. providers: of a part."""
    sessions = {
        part: session_of(folder / f"{part}.onnx", providers(part))
        for part in graph_names(network.spec)
    }
    for part, session in sessions.items():
        tell_of_others(part, session)

    def compute(part: str, given: tuple[Tensor, ...], out: tuple[Tensor, ...]) -> None:
        if given[0].is_cuda:
            torch.cuda.current_stream().synchronize()  # the session reads on a stream of its own
        session = sessions[part]
        binding = session.io_binding()
        for meta, tensor in zip(session.get_inputs(), _taken(session, part, given), strict=True):
            binding.bind_input(meta.name, *_place(tensor))
        for meta, tensor in zip(session.get_outputs(), out, strict=True):
            binding.bind_output(meta.name, *_place(tensor))
        session.run_with_iobinding(binding)

    return GraphForm(name, network, compute)


def session_of(file: Path, providers: list[Any]) -> Any:
    """Raises BadInputError where the first provider cannot be had: ONNX Runtime would go on with
    those after it.
    """
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # threads that wait for each other sleep: a busy machine has better use for them
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = runtime.InferenceSession(file, options, providers=providers)
    wanted = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
    if (first := session.get_providers()[0]) != wanted:
        raise BadInputError(f"ONNX Runtime cannot load {wanted} and would compute with {first}")
    return session


def _taken(session: Any, part: str, given: tuple[Tensor, ...]) -> list[Tensor]:
    """The inputs that the graph has: an optimiser drops those that nothing reads."""
    named = dict(zip(INPUTS[part], given, strict=True))
    return [named[meta.name] for meta in session.get_inputs()]


def _place(tensor: Tensor) -> tuple[str, int, Any, tuple[int, ...], int]:
    """Device, its number, type, shape and address."""
    return (tensor.device.type, tensor.device.index or 0, np.float32, tuple(tensor.shape),
            tensor.data_ptr())  # fmt: skip


def tell_of_others(part: str, session: Any) -> None:
    """A graph is split where the first provider cannot take it whole: not in silence."""
    nodes = Counter[str]()
    for piece in session.get_provider_graph_assignment_info():
        nodes[piece.ep_name] += len(piece.get_nodes())
    first, *others = session.get_providers()
    left = ", ".join(f"{nodes[name]} to {name}" for name in others if nodes[name])
    if left:
        logger.warning(f"{first} leaves nodes of {part}: {left}")
