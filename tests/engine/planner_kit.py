"""Cards and requests that plans are made for."""

from src.core.hardware import Hardware
from src.core.request import Request
from src.pipelines.models import find_model

SPEC = find_model("cogvideox-5b-i2v")


def gpu(gigabytes, capability=(9, 0), **fields):
    free = int(gigabytes * 1e9)
    usual = {"device": "cuda", "name": "a GPU", "memory": free, "free_memory": free,
             "capability": capability, "bf16": capability >= (8, 0), "compiler": True,
             "quantizer": True, "vendor": "nvidia"}  # fmt: skip
    return Hardware(**usual | fields)


def request(**fields):
    return Request(**{"input_image": "a.png", "prompt": "x"} | fields)
