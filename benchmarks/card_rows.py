"""The rows of `benchmarks.card`, in the order of their worth."""

import importlib.metadata
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.card_bench import FAMILY, Bench, Told, median
from benchmarks.card_beside import flow, training, upscaler
from benchmarks.card_run import Row
from src.core.plan import Cache
from src.core.progress import CancelToken, ignore
from src.pipelines import compiling
from src.pipelines.adapter_files import AdapterFile, read_adapter
from src.pipelines.adapters import linear_modules
from src.pipelines.attending import BACKENDS, torch_attend
from src.pipelines.attention_kernels import OPTIONAL, installed_kernels
from src.pipelines.attention_measuring import PACKAGE_REFUSALS, call_of, heads_first
from src.pipelines.failures import first_line
from src.pipelines.placement import place, stream
from src.pipelines.tuning import quantize

GUIDED, UNGUIDED = 6.0, 1.0
PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "peft", "torchao", "triton")


def environment(bench: Bench, told: Told) -> None:
    """Versions, the rate of matrix products, and attention by kernel at the 5B's shape: torch's on
    queries and keys that lie heads first, those of packages on (B, N, heads, D).
    """
    on_card = bench.device.type == "cuda"
    told["device"] = torch.cuda.get_device_name() if on_card else platform.processor() or "CPU"
    told["versions"] = (
        {name: _version(name) for name in PACKAGES}
        | {OPTIONAL[name].package: _version(OPTIONAL[name].package) for name in installed_kernels()}
        | {"python": platform.python_version()}
    )
    told["cudnn"] = torch.backends.cudnn.version()
    size = 256 if bench.rehearse else 8192
    left, right = (
        torch.randn(size, size, device=bench.device, dtype=bench.dtype) for _ in range(2)
    )
    seconds = min(bench.seconds(lambda: left @ right, 10)[2:])
    told["matrix_tflops"] = round(2 * size**3 / max(seconds, 1e-9) / 1e12, 2)
    shape = (1, 64, 2, 16) if bench.rehearse else (1, 17_776, 48, 64)
    parts = [torch.randn(shape, device=bench.device, dtype=bench.dtype) for _ in range(3)]
    stock = heads_first(parts)  # as the stock processor gives them
    heads = [part.transpose(1, 2) for part in stock]
    told["stock_kernel"] = int(torch._fused_sdp_choice(*heads))
    told["attention_seconds"] = (
        {"stock": median(bench.seconds(lambda: torch_attend(*stock)))}
        | {name: _kernel_seconds(bench, name, stock) for name in BACKENDS}
        | {name: _kernel_seconds(bench, name, parts) for name in installed_kernels()}
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _kernel_seconds(bench: Bench, name: str, parts: list[torch.Tensor]) -> float | str:
    try:
        return median(bench.seconds(call_of(name, parts)))
    except PACKAGE_REFUSALS as error:
        return f"refused: {first_line(error)[:80]}"


def build(bench: Bench, told: Told) -> None:
    """T5, transformer and VAE on the device."""
    told["build_seconds"] = bench.seconds(bench.build, 1)[0]
    parts = {name: getattr(bench.pipe, name) for name in ("text_encoder", "transformer", "vae")}
    told["weights_gb"] = {
        name: round(sum(p.nbytes for p in (*part.parameters(), *part.buffers())) / 1e9, 3)
        for name, part in parts.items()
    }


def stock(bench: Bench, told: Told) -> None:
    """The stock pipeline: one step to warm up, three that count, its decode."""
    steps, stages = bench.clip(bench.session(vae="stock"), (GUIDED,) * 4, mode="baseline")
    told["first_step"], told["step"] = steps[0], median(steps[1:])
    told["beside_steps"] = round(stages["generate"] - sum(steps), 3)
    told["counted_gb"] = None if bench.rehearse else round(_stock_bytes(bench) / 1e9, 2)


def _stock_bytes(bench: Bench) -> int:
    from src.catalog.profiles import Profile
    from src.engine.estimates import counted_bytes

    return counted_bytes(Profile(name="stock", description="", vae="stock"), bench.spec)


def decode(bench: Bench, told: Told) -> None:
    """Our decoder, whole and in tiles."""
    FAMILY.loop.speed_up_vae(bench.pipe.vae)
    told["eager"] = _decode_seconds(bench)
    told["tiled"] = _decode_seconds(bench, tiling=True)
    told["counted_gb"] = bench.counted_gb("exact")


def decoder_compiled(bench: Bench, told: Told) -> None:
    """What no profile does, for it took more than 150 s once: the decoder as one graph."""
    decoder = bench.build().vae.decoder
    FAMILY.loop.speed_up_vae(bench.pipe.vae)
    decoder.forward = compiling.Compiled(decoder)
    told["first"], *rest = (_decode_seconds(bench) for _ in range(3))
    told["compiled"] = median(rest)


def _decode_seconds(bench: Bench, tiling: bool = False) -> float:
    size, channels = bench.spec.native, bench.sizes["vae"]["latent_channels"]
    shape = (1, (bench.frames - 1) // 4 + 1, channels, size.height // 8, size.width // 8)
    latents = torch.randn(shape, device=bench.device, dtype=bench.dtype)

    def run() -> None:
        for _ in FAMILY.loop.decode(bench.pipe, latents, ignore, CancelToken(), tiling):
            pass

    return bench.seconds(run, 1)[0]


def blocks(bench: Bench, told: Told) -> None:
    """Compiled blocks, guided and unguided; the first step of each kind compiles."""
    steps = bench.steps(compiled(bench), (GUIDED,) * 4 + (UNGUIDED,) * 4)
    told["first_guided"], told["guided"] = steps[0], median(steps[1:4])
    told["first_unguided"], told["unguided"] = steps[4], median(steps[5:])
    told["counted_gb"] = bench.counted_gb("exact")


def compiled(bench: Bench) -> Any:
    """A session of the pipeline, whose blocks are compiled; made once for the pipeline."""
    if not hasattr(bench.pipe.transformer, "newsreel_compiled"):
        FAMILY.loop.speed_up_vae(bench.pipe.vae)
        compiling.compile_blocks(bench.pipe.transformer, bench.pipe.transformer.transformer_blocks)
    attention = "flash" if bench.rehearse else "cudnn"
    return bench.session(compile=True, attention=attention)


def cache(bench: Bench, told: Told) -> None:
    """A first-block cache around compiled blocks: nothing skipped, and all that can be."""
    session = compiled(bench)
    for name, threshold in (("nothing_skipped", 0.0), ("all_skipped", 1e9)):
        steps = bench.steps(
            session, (GUIDED,) * 4, cache=Cache(name="first_block", threshold=threshold)
        )
        told[name] = median(steps[1:])
    told["counted_gb"] = bench.counted_gb("fast")


def adapter(bench: Bench, told: Told) -> None:
    """LoRA on, off, on again around compiled blocks."""
    session = compiled(bench)
    with tempfile.TemporaryDirectory() as folder:
        file = _adapter_file(bench, Path(folder) / "adapter.safetensors")
        for name, adapters in (("on", (file,)), ("off", ()), ("on_again", (file,))):
            session.adapters = adapters
            steps = bench.steps(
                session, (GUIDED,) * 4, adapters=tuple(one.reference for one in adapters)
            )
            told[f"first_{name}"], told[name] = steps[0], median(steps[1:])


def _adapter_file(bench: Bench, path: Path) -> AdapterFile:
    """A random adapter on queries and values of every block."""
    config, state = bench.pipe.transformer.config, {}
    width = config.num_attention_heads * config.attention_head_dim
    for block in range(config.num_layers):
        for layer in ("to_q", "to_v"):
            name = f"transformer.transformer_blocks.{block}.attn1.{layer}"
            state[f"{name}.lora_A.weight"] = torch.randn(8, width) * 0.01
            state[f"{name}.lora_B.weight"] = torch.randn(width, 8) * 0.01
    save_file(state, path)
    return read_adapter(str(path), path.parent, linear_modules(bench.pipe.transformer), FAMILY)


def fp8(bench: Bench, told: Told) -> None:
    """Dynamic fp8, a scale for each row, compiled."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    bench.build()
    quantize_(
        bench.pipe.transformer.transformer_blocks,
        Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
    )
    steps = bench.steps(compiled(bench), (GUIDED,) * 4)
    told["first"], told["guided"] = steps[0], median(steps[1:])


def offload(bench: Bench, told: Told) -> None:
    """The text encoder streamed and the transformer moved whole; then the transformer streamed,
    decoded in tiles.
    """
    session = compiled_for_offload(bench, "model")
    steps, told["model_stages"] = bench.clip(session, (GUIDED,) * 3)
    told["model"] = median(steps[1:])
    told["model_peaks"] = bench.end_row()
    bench.start_row()
    stream(bench.pipe.transformer, bench.device, "block_level", pinned=True)
    session = bench.session(compile=True, offload="group", tiling=True)
    steps, told["stream_stages"] = bench.clip(session, (GUIDED,) * 4)
    told["stream"] = median(steps[2:])
    told["counted_gb"] = bench.counted_gb("stream", tiling=True)


def compiled_for_offload(bench: Bench, offload: str) -> Any:
    bench.build()
    session = compiled(bench)
    key = session.key.model_copy(update={"offload": offload})
    bench.pipe.to("cpu")
    place(FAMILY, bench.pipe, key)
    return bench.session(compile=True, offload=offload, attention=key.attention)


def lean(bench: Bench, told: Told) -> None:
    """The text encoder streamed, the rest on the device; a whole clip."""
    session = compiled_for_offload(bench, "text")
    fields = {"cache": Cache(name="first_block", threshold=0.05)}
    steps, told["stages"] = bench.clip(session, (GUIDED,) * 4, **fields)
    told["guided"] = median(steps[1:])
    told["counted_gb"] = bench.counted_gb("lean")


def int8(bench: Bench, told: Told) -> None:
    """int8 weights, compiled."""
    bench.build()
    told["layers"] = quantize(bench.pipe.transformer.transformer_blocks, "int8", bench.device.type)
    steps = bench.steps(compiled(bench), (GUIDED,) * 4)
    told["first"], told["guided"] = steps[0], median(steps[1:])


ROWS = (
    Row("environment", 20, environment), Row("build", 20, build), Row("stock", 30, stock),
    Row("decode", 20, decode), Row("blocks", 60, blocks), Row("cache", 20, cache),
    Row("adapter", 60, adapter), Row("fp8", 60, fp8), Row("lean", 40, lean),
    Row("offload", 60, offload), Row("int8", 50, int8), Row("flow", 25, flow),
    Row("upscaler", 25, upscaler), Row("training", 40, training),
    Row("decoder_compiled", 200, decoder_compiled),
)  # fmt: skip
