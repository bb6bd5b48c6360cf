import json
import shutil

import pytest

from src.catalog.models import MODELS, load_models
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import REPOSITORY
from src.core.plan import Size
from src.pipelines.models import find_model, spec_of_folder


def test_every_model_file_loads():
    assert tuple(load_models()) == MODELS


def test_the_embedded_model_is_what_its_file_says():
    declared, actual = find_model("nano"), spec_of_folder(REPOSITORY / "checkpoints" / "nano")
    for field in ("family", "native", "max_sequence_length", "schedule", "frames"):
        assert getattr(declared, field) == getattr(actual, field), field
    assert declared.sizes.multiple == actual.sizes.multiple


@pytest.mark.parametrize(
    ("model", "count", "nearest"),
    [("nano", 13, "9 and 17"), ("nano", 1, "9"), ("nano", 99, "49"), ("cogvideox-5b-i2v", 13, "49"),
     ("cogvideox1.5-5b-i2v", 80, "65 and 81")],
)  # fmt: skip
def test_a_frame_count_that_breaks_the_rule_names_the_nearest(model, count, nearest):
    with pytest.raises(BadInputError, match=f"nearest that works: {nearest}$"):
        find_model(model).check_frames(count)


def test_delivered_sizes_keep_the_native_shape():
    nano = find_model("nano")
    assert nano.deliver(None, None) == Size(width=720, height=480)
    assert nano.deliver(360, None) == Size(width=360, height=240)
    with pytest.raises(BadInputError, match="nearest: 640x426 and 720x480"):
        nano.deliver(640, 480)


def test_unknown_model_and_missing_folder():
    with pytest.raises(BadInputError, match="known: auto, nano"):
        find_model("nanoo")
    with pytest.raises(MissingFileError, match="does not exist"):
        find_model("no/such/folder")


@pytest.mark.parametrize(
    ("folder", "path"),
    [(".", "checkpoints/nano"), (".", "./checkpoints/nano/"), ("docs", "../checkpoints/nano")],
)
def test_the_path_of_a_known_model_is_that_model(monkeypatch, folder, path):
    monkeypatch.chdir(REPOSITORY / folder)
    assert (
        find_model(path)
        == find_model(str(REPOSITORY / "checkpoints" / "nano"))
        == find_model("nano")
    )


def test_a_folder_tells_its_own_sizes(tiny_folder):
    spec = find_model(str(tiny_folder))
    assert (spec.native, spec.frames.most, spec.max_sequence_length) == (
        Size(width=64, height=48),
        9,
        32,
    )


def test_a_folder_of_another_pipeline_is_refused(tiny_folder, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tiny_folder, folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MochiPipeline"}))
    with pytest.raises(BadInputError, match="holds a MochiPipeline.* runs .*WanImageTo"):
        find_model(str(folder))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("model_index.json", "[]"),
        ("model_index.json", '{"_class_name": ["a"]}'),
        ("transformer/config.json", "[1]"),
        ("transformer/config.json", "{}"),
        ("transformer/config.json", '{"sample_width": "x", "sample_height": 6}'),
        ("vae/config.json", "{}"),
        ("vae/config.json", '{"block_out_channels": 5}'),
        ("scheduler/scheduler_config.json", '{"num_train_timesteps": "x"}'),
    ],
)
def test_a_folder_with_odd_configuration_is_one_sentence(tiny_folder, tmp_path, file, text):
    folder = shutil.copytree(tiny_folder, tmp_path / "odd")
    (folder / file).write_text(text)
    with pytest.raises(BadInputError, match="odd"):
        find_model(str(folder))
