"""One rule for the device behind a name, and for what it computes fast."""

import subprocess
import sys

import pytest
import torch

from src.core import devices
from src.core.devices import bf16_is_fast, core_count, cpu_threads, find_device
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY


@pytest.mark.parametrize(("count", "inside"), [(2, 2), (None, 3), (0, 3)])
def test_threads_are_those_of_before_again_whatever_happens(count, inside):
    torch.set_num_threads(3)
    with pytest.raises(ValueError, match="inside"), cpu_threads(count):
        assert torch.get_num_threads() == inside
        raise ValueError("inside")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("name", "present", "found"), [
    ("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cpu", False, "cpu"),
    ("cuda", True, "cuda"),
])  # fmt: skip
def test_the_device_behind_a_name(monkeypatch, name, present, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert find_device(name) == found


def test_a_device_that_is_not_here_or_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInputError, match="no CUDA device is visible here"):
        find_device("cuda")
    with pytest.raises(BadInputError, match="unknown device 'banana'; known: auto, cpu, cuda"):
        find_device("banana")


@pytest.mark.parametrize(
    ("capability", "fast"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((9, 0), True)]
)
def test_a_card_that_emulates_bfloat16_is_not_fast_at_it(monkeypatch, capability, fast):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    # as PyTorch says of every card
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    assert bf16_is_fast("cuda") is fast


@pytest.mark.parametrize(("flags", "fast"), [
    ("fpu avx512f avx512_bf16", False), ("fpu amx_bf16 amx_tile", True), ("", False),
])  # fmt: skip
def test_a_processor_is_fast_at_bfloat16_by_amx_alone(monkeypatch, flags, fast):
    monkeypatch.setattr(devices, "cpu_field", lambda name: flags if name == "flags" else "")
    assert bf16_is_fast("cpu") is fast


def test_there_is_a_core():
    assert core_count() >= 1


def test_a_bad_name_is_refused_without_torch():
    code = """
import sys
from src.core.devices import find_device
try:
    find_device("banana")
except Exception as error:
    print(type(error).__name__, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["BadInputError", "False"]


@pytest.mark.parametrize(("file", "program", "expected"), [
    (None, None, False), ("nvidiactl", None, True), ("kfd", None, True),
    (None, "/usr/bin/nvidia-smi", True),
])  # fmt: skip
def test_a_driver_is_seen_without_torch(file, program, expected, tmp_path, monkeypatch):
    if file:
        (tmp_path / file).touch()
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: program)
    assert devices.may_have_gpu() is expected


def test_where_no_device_files_are_torch_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path / "none")
    assert devices.may_have_gpu()


@pytest.mark.parametrize(("flags", "most", "wanted"), [
    ("avx2 avx512_vnni", "", True), ("avx2 avx_vnni", "", True), ("avx2 avx512f", "", False),
    ("", "", False), ("avx512_vnni", "AVX512_CORE", False), ("avx512_vnni", "avx2", False),
    ("avx512_vnni", "AVX512_CORE_VNNI", True), ("avx512_vnni", "AVX2_VNNI", False),
    ("avx512_vnni avx_vnni", "AVX2_VNNI", True),
])  # fmt: skip
def test_products_of_bytes_are_added_whole_with_vnni(monkeypatch, flags, most, wanted):
    monkeypatch.setattr(devices, "cpu_field", lambda name: {"flags": flags}[name])
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
    assert devices.cpu_adds_byte_products() is wanted
