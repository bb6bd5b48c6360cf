"""The preview decoder: its sums, its pieces, its file."""

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError, CancelledError
from src.core.progress import CancelToken, ignore
from src.pipelines import preview_decoder
from src.pipelines.locate import role_hash
from src.pipelines.pixels import to_uint8
from src.pipelines.preview_decoder import (
    PreviewDecoder,
    decode_preview,
    fit_linear,
    load_preview,
    save_preview,
    to_cells,
    to_video,
)
from src.pipelines.preview_files import FILE, PreviewForm, read_preview

ALONE = PreviewForm(channels=4, cell=2, frames=1, width=8, blocks=2)
GROUPED = PreviewForm(channels=4, cell=2, frames=4, width=8, blocks=2)


def random_decoder(form: PreviewForm) -> PreviewDecoder:
    """Every weight drawn, also those that begin as zeros."""
    torch.manual_seed(3)
    decoder = PreviewDecoder(form)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.2)
    return decoder


def test_cells_and_frames_are_each_other_s_way_back():
    video = torch.randn(2, 3, 8, 6, 4)
    assert torch.equal(to_video(to_cells(video, GROUPED), GROUPED, 2), video)


@pytest.mark.parametrize(("form", "frames"), [(ALONE, 5), (GROUPED, 17)])
def test_a_clip_has_the_frames_that_its_latents_stand_for(form, frames):
    assert random_decoder(form)(torch.randn(2, 4, 5, 3, 6)).shape == (2, 3, frames, 6, 12)


@pytest.mark.parametrize("form", [ALONE, GROUPED])
@pytest.mark.parametrize("piece", [1, 3, 16])
def test_pieces_are_the_whole(form, piece, monkeypatch):
    monkeypatch.setattr(preview_decoder, "PIECE", piece)
    decoder, latents = random_decoder(form), torch.randn(1, 4, 7, 3, 4)
    made = np.concatenate(list(decode_preview(decoder, latents, ignore, CancelToken())))
    with torch.no_grad():
        whole = to_uint8(decoder(latents))
    assert made.shape == whole.shape
    # the same sums in batches of another size: at most the last bit of a rounding
    assert np.abs(made.astype(int) - whole).max() <= 1


def test_a_frame_depends_on_its_neighbours_only_where_a_latent_frame_is_several():
    latents = torch.randn(1, 4, 5, 3, 4)
    other = latents.clone()
    other[:, :, 3] += 1
    for form, same in ((ALONE, True), (GROUPED, False)):
        decoder = random_decoder(form)
        shown = form.frames * 2 - form.frames + 1  # of the third latent frame
        first, second = (decoder(each)[:, :, shown] for each in (latents, other))
        assert torch.equal(first, second) is same


@pytest.mark.parametrize("form", [ALONE, GROUPED])
def test_the_linear_fit_finds_a_linear_map(form):
    """Frames that are a linear map of their latents come back to the rounding of float32. The
    frames of one latent frame are alike here, as the first one's repetition is.
    """
    torch.manual_seed(5)
    made = 3 * form.cell**2
    weight, bias = torch.randn(made, 4), torch.randn(made)
    pairs = []
    for _ in range(6):
        latents = 2 + 3 * torch.randn(1, 4, 3, 4, 4)
        cells = torch.einsum("oc,bcfhw->bfohw", weight, latents) + bias[:, None, None]
        video = to_video(cells.flatten(0, 1).repeat(1, form.frames, 1, 1), form, 1)
        pairs.append((latents, video[:, :, form.frames - 1 :]))
    decoder = PreviewDecoder(form)
    fit_linear(decoder, pairs)
    assert (decoder(pairs[0][0]) - pairs[0][1]).abs().max() < 1e-3


def test_a_decoder_stops_between_pieces(monkeypatch):
    monkeypatch.setattr(preview_decoder, "PIECE", 1)
    cancel = CancelToken()
    pieces = decode_preview(random_decoder(ALONE), torch.randn(1, 4, 3, 2, 2), ignore, cancel)
    next(pieces)
    cancel.cancel()
    with pytest.raises(CancelledError):
        next(pieces)


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A model's folder that may be written to."""
    import shutil

    return shutil.copytree(tiny_folder, tmp_path / "tiny")


def test_a_file_is_read_back_in_half_precision(folder):
    decoder = random_decoder(GROUPED)
    save_preview(decoder, role_hash(folder, "vae"), folder / FILE, 7)
    file = read_preview(folder)
    assert file.form == GROUPED
    for name, tensor in load_preview(file).state_dict().items():
        assert torch.equal(tensor, decoder.state_dict()[name].half().float()), name


def test_what_is_no_decoder_of_this_model_is_refused(folder):
    with pytest.raises(BadInputError, match="has none; .*src.train_preview --model"):
        read_preview(folder)
    save_preview(random_decoder(ALONE), "0" * 64, folder / FILE, 0)
    with pytest.raises(BadInputError, match="belongs to another VAE"):
        read_preview(folder)
    (folder / FILE).write_bytes(b"text")
    with pytest.raises(BadInputError, match="not a safetensors file"):
        read_preview(folder)
    wrong = random_decoder(ALONE)
    wrong.form = ALONE.model_copy(update={"width": 16})
    save_preview(wrong, role_hash(folder, "vae"), folder / FILE, 0)
    with pytest.raises(BadInputError, match="is damaged"):
        load_preview(read_preview(folder))
