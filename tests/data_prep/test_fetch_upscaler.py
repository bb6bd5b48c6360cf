"""Weights of an upscaler from the hub, here a local server, or from files that a person has."""

import errno
import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from src.core.errors import BadInputError, MissingWeightsError, OutputError
from src.core.files import sha256_of
from src.data_prep import fetch_upscaler
from src.data_prep.fetch import DownloadLedger, Fetcher, ignore_bytes
from src.data_prep.fetch_upscaler import Fetching, UpscalerDownload, fetch_upscaler_app
from src.upscaling.star import published
from src.upscaling.star.files import expected
from tests.data_prep.test_downloads import server  # noqa: F401
from tests.upscaling.star.kit import NARROW, narrow_text, narrow_vae, seeded


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The architecture that is checked against is a narrow one."""
    monkeypatch.setattr(published, "StarSpec", lambda: NARROW)


@pytest.fixture
def light(tmp_path):
    """A pickle as it is published: float32, under `state_dict`."""
    file = tmp_path / "given" / "light_deg.pt"
    file.parent.mkdir()
    torch.save({"state_dict": seeded(expected(NARROW), 1)}, file)
    return file


@pytest.fixture
def fetching(tmp_path):
    return Fetching(tmp_path / "star", Fetcher(wait=0, tries=1), ignore_bytes)


def parts():
    return fetch_upscaler.UPSCALERS["star"]().parts


def left(folder):
    return sorted(p.name for p in folder.rglob("*")) if folder.exists() else []


def test_a_pickle_becomes_safetensors_with_hashes(fetching, light):
    (made,) = fetching.part("light", parts()["light"], light)
    tensors, wanted = load_file(made), seeded(expected(NARROW), 1)
    assert tensors.keys() == wanted.keys() and tensors["out.2.bias"].dtype == torch.float16
    assert torch.equal(tensors["out.2.bias"], wanted["out.2.bias"].half())
    with safe_open(made, "pt") as file:
        about = file.metadata()
    assert about["converted_sha256"] == sha256_of(light)
    assert about["spec"] == NARROW.model_dump_json()
    assert DownloadLedger(fetching.folder).holds(made)
    assert left(fetching.folder) == ["hashes.json", "light_deg.safetensors"] and light.exists()


class Payload:
    def __reduce__(self):
        return os.system, ("echo ran",)


def _payload(file):
    file.write_bytes(pickle.dumps({"state_dict": Payload()}))
    torch.save({"state_dict": Payload()}, file)


def _lacking(file):
    tensors = seeded(expected(NARROW), 1)
    del tensors["out.2.bias"]
    torch.save(tensors, file)


@pytest.mark.parametrize(("spoil", "sentence"), [
    (_payload, "holds more than weights, which would run as code"),
    (_lacking, "it lacks 1 of 2247 tensors, out.2.bias first"),
    (lambda file: file.write_bytes(b"no weights"), "light_deg.pt holds"),
    (lambda file: torch.save([1, 2], file), "light_deg.pt holds no weights by name"),
    (lambda file: file.write_bytes(file.read_bytes()[:5000]), "light_deg.pt holds no weights"),
])  # fmt: skip
def test_what_is_not_the_network_is_refused_and_leaves_nothing(
    fetching, light, spoil, sentence, capfd
):
    spoil(light)
    with pytest.raises(BadInputError, match=sentence):
        fetching.part("light", parts()["light"], light)
    assert not fetching.folder.exists() and "ran" not in capfd.readouterr().out


def test_a_full_disk_is_a_sentence_and_leaves_nothing(fetching, light, monkeypatch):
    def full(*_, **__):
        raise safetensors_error()

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OutputError, match="the disk is full"):
        fetching.part("light", parts()["light"], light)
    assert not fetching.folder.exists()


def safetensors_error():
    from safetensors import SafetensorError

    said = f"No space left on device (os error {errno.ENOSPC})"
    return SafetensorError(f"Error while serializing: I/O error: {said}")


def test_the_vae_is_taken_whole_or_not(fetching, tmp_path):
    narrow_vae(tmp_path / "vae")
    weights = tmp_path / "vae" / "diffusion_pytorch_model.fp16.safetensors"
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").rename(weights)
    made = fetching.part("vae", parts()["vae"], tmp_path / "vae")
    assert [file.relative_to(fetching.folder).as_posix() for file in made] == [*published.VAE]
    shutil.rmtree(fetching.folder)
    tensors = load_file(weights)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, weights)
    with pytest.raises(BadInputError, match="vae has no weights for 1 tensors"):
        fetching.part("vae", parts()["vae"], tmp_path / "vae")
    assert not fetching.folder.exists()


def test_the_text_half_of_a_clip_is_taken(fetching, tmp_path):
    given = tmp_path / "clip"
    narrow_text(given, tmp_path / "tokenizer")
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "tokenizer" / name).rename(given / name)
    tensors = {f"text_model.{n}": t for n, t in load_file(given / "model.safetensors").items()}
    further = {"vision_model.x": torch.zeros(2), published.DERIVED: torch.arange(77)}
    save_file(tensors | further, given / "model.safetensors")
    config = json.loads((given / "config.json").read_bytes())
    (given / "config.json").write_text(json.dumps({"text_config": config}))
    made = fetching.part("text", parts()["text"], given)
    assert [file.relative_to(fetching.folder).as_posix() for file in made] == [*published.TEXT]
    assert len(load_file(fetching.folder / "text_encoder" / "model.safetensors")) == len(tensors)


def test_it_is_fetched_once_and_goes_on(fetching, light, server, monkeypatch):  # noqa: F811
    server.files["/light_deg.pt"] = light.read_bytes()
    host, port = server.server_address
    url = f"http://{host}:{port}/light_deg.pt"
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda *_: url)
    server.trouble = [4000]
    sentence = (
        "light_deg.pt cannot be fetched .*; where you have it, give it as --part light --input"
    )
    with pytest.raises(MissingWeightsError, match=sentence):
        fetching.part("light", parts()["light"])
    assert left(fetching.folder) == [".light.partial", "light_deg.pt.part", "made", "published"]
    fetching.part("light", parts()["light"])
    assert server.asked[-1][1] == "bytes=4000-"
    count = len(server.asked)
    fetching.part("light", parts()["light"])
    assert len(server.asked) == count
    assert left(fetching.folder) == ["hashes.json", "light_deg.safetensors"]


def test_one_more_upscaler_is_one_more_entry(tmp_path, monkeypatch):
    def make(source, folder):
        (folder / "x.bin").write_bytes((source / "y.bin").read_bytes()[::-1])

    other = fetch_upscaler.Published(
        {"all": UpscalerDownload("a/b", ("y.bin",), make, ("x.bin",))}, "free"
    )
    monkeypatch.setitem(fetch_upscaler.UPSCALERS, "other", lambda: other)
    (tmp_path / "mine").write_bytes(b"abc")
    flags = [
        "other",
        "--accept-licence",
        "--input",
        str(tmp_path / "mine"),
        "--output",
        str(tmp_path / "o"),
    ]
    done = CliRunner().invoke(fetch_upscaler_app(), flags)
    assert done.exit_code == 0 and (tmp_path / "o" / "x.bin").read_bytes() == b"cba"


@pytest.mark.parametrize(("flags", "sentence"), [
    ((), "no upscaler is not one that can be fetched; name star"),
    (("star",), "say --accept-licence to take star"),
    (("star", "--accept-licence", "--part", "x"), "--part is 'x'; it must be one of: light, heavy"),
    (("star", "--accept-licence", "--input", "x"),
     "--input is of one part; name it as --part NAME"),
    (("star", "--accept-licence", "--part", "light", "--input", "x"), "there is no file at x"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path, flags, sentence):
    done = CliRunner().invoke(fetch_upscaler_app(), [*flags, "--output", str(tmp_path / "o")])
    assert done.exit_code == 2 and sentence in done.stderr, done.stderr
    assert not (tmp_path / "o").exists()
