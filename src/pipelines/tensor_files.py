"""safetensors files by their header alone: shapes, dtypes, length, and whether the numbers are
numbers. No torch.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.core.errors import BadInputError

HEADER_LIMIT = 100 * 2**20
BITS = {
    "F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0xFF << 23), "F16": ("<u2", 0x1F << 10),
    "BF16": ("<u2", 0xFF << 7), "F8_E5M2": ("<u1", 0x7C), "F8_E4M3": ("<u1", 0x7F),
}  # fmt: skip
"""By dtype: an unsigned integer of its width, and the bits that are all set where a value is not
finite (E4M3 has no infinity, only one NaN of either sign).
"""
PIECE = 1 << 24


@dataclass(frozen=True)
class Tensor:
    """dtype as safetensors names it; begin, end: its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class TensorFile:
    """path, its tensors by key, and the strings of its header."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def is_finite(self, key: str) -> bool:
        """Whether every number of a floating tensor is finite."""
        _, mask = BITS[self.tensors[key].dtype]
        return not any((piece & mask == mask).any() for piece in self._bits(key))

    def is_zero(self, key: str) -> bool:
        """Whether every number is zero, of either sign."""
        unsigned = (1 << 8 * np.dtype(BITS[self.tensors[key].dtype][0]).itemsize - 1) - 1
        return not any((piece & unsigned).any() for piece in self._bits(key))

    def _bits(self, key: str) -> Any:
        tensor = self.tensors[key]
        kind = np.dtype(BITS[tensor.dtype][0])
        with self.path.open("rb") as stream:
            for begin in range(tensor.begin, tensor.end, PIECE):
                stream.seek(begin)
                yield np.frombuffer(stream.read(min(PIECE, tensor.end - begin)), kind)


def read_tensor_file(path: Path) -> TensorFile:
    """Read and check the header (8 bytes of length, then JSON), and that the file is as long as it
    says.

    Raises BadInputError for what is no safetensors file, or one that is cut short.
    """
    header, start = _header(path)
    metadata = header.pop("__metadata__", None) or {}
    try:
        tensors = {key: _tensor(value, start) for key, value in header.items()}
        strings = all(isinstance(value, str) for pair in metadata.items() for value in pair)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{path} is not a safetensors file: its header is of another form ({error!r})"
        ) from None
    if not strings:
        raise BadInputError(f"{path} is not a safetensors file: its metadata must be strings")
    _check_layout(path, tensors, start)
    return TensorFile(path, tensors, metadata)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header's mapping, and where the tensors begin."""
    try:
        with path.open("rb") as stream:
            prefix = stream.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else HEADER_LIMIT + 1
            text = stream.read(length) if length <= HEADER_LIMIT else b""
        header = json.loads(text)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BadInputError(f"{path} is not a safetensors file") from None
    if not isinstance(header, dict):
        raise BadInputError(f"{path} is not a safetensors file")
    return header, 8 + length


def _tensor(value: dict[str, Any], start: int) -> Tensor:
    shape, (begin, end) = tuple(value["shape"]), value["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError("negative or broken sizes")
    if (
        value["dtype"] in BITS
        and end - begin != math.prod(shape) * np.dtype(BITS[value["dtype"]][0]).itemsize
    ):
        raise ValueError("a tensor's bytes do not fit its shape")
    return Tensor(str(value["dtype"]), shape, start + begin, start + end)


def _check_layout(path: Path, tensors: dict[str, Tensor], start: int) -> None:
    """The tensors lie one after the other to the very end of the file."""
    at, size = start, path.stat().st_size
    for tensor in sorted(tensors.values(), key=lambda one: (one.begin, one.end)):
        if tensor.begin != at or tensor.end < at:
            raise BadInputError(
                f"{path} is not a safetensors file: its tensors overlap or leave gaps"
            )
        at = tensor.end
    if size < at:
        raise BadInputError(
            f"{path} is cut short: {size:,} of {at:,} bytes; fetch or copy it again"
        )
    if size > at:
        raise BadInputError(
            f"{path} is longer than its header says: {size:,} instead of {at:,} bytes; fetch it "
            "again"
        )
