import json

import jsonschema
import pytest

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import REPOSITORY
from src.engine.batching.jobs_file import batch_schema, read_batch, seed_of

SAMPLE = REPOSITORY / "data" / "metadata" / "batch_jobs.json"


def write(tmp_path, data):
    path = tmp_path / "jobs.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_the_sample_is_valid_and_the_published_schema_is_ours():
    schema = json.loads((REPOSITORY / "configs" / "schemas" / "batch_jobs.json").read_text("utf-8"))
    assert schema == json.loads(json.dumps(batch_schema()))
    jsonschema.validate(json.loads(SAMPLE.read_text("utf-8")), schema)
    assert len(read_batch(SAMPLE, {})) == 12


def test_defaults_then_jobs_then_the_command_line(tmp_path):
    path = write(tmp_path, {"defaults": {"fps": 12, "prompt": "pan left"}, "jobs": [
        {"id": "a", "input_image": "x.png"}, {"id": "b", "input_image": "x.png", "fps": 16,
                                              "seed": 4}]})  # fmt: skip
    first, second = read_batch(path, {"model": "nano"})
    assert (first.request.fps, first.request.seed, first.request.model) == (
        12,
        seed_of("a"),
        "nano",
    )
    assert (second.request.fps, second.request.seed) == (16, 4)


def test_every_error_is_listed_with_its_job_and_field(tmp_path):
    path = write(tmp_path, [
        {"id": "a", "input_image": "x.png", "sede": 3},
        {"id": "b", "input_image": "x.png", "fps": -1}, {"id": "c", "input_image": "x.png"},
        {"id": "c", "input_image": "x.png"}, {"id": "../d"},
    ])  # fmt: skip
    with pytest.raises(BadInputError) as caught:
        read_batch(path, {})
    text = str(caught.value)
    for part in (
        "4 error(s), nothing was run",
        "a: sede",
        "b: fps",
        "c: id: used by 2 jobs",
        "job 5: id",
    ):
        assert part in text


@pytest.mark.parametrize("data", ["no json", "3", "[]", '{"jobs": []}', '{"jbos": []}', "[1]"])
def test_what_is_no_batch_file_is_refused(tmp_path, data):
    with pytest.raises(BadInputError):
        read_batch(write(tmp_path, data), {})


@pytest.mark.parametrize("data", ["3", "null", '"jobs"'])
def test_what_is_no_list_is_told_what_is_wanted(tmp_path, data):
    with pytest.raises(BadInputError, match="must hold a list of jobs; configs/schemas/batch"):
        read_batch(write(tmp_path, data), {})


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        read_batch(REPOSITORY / "nope.json", {})
    with pytest.raises(MissingFileError, match="is a folder, not a file"):
        read_batch(tmp_path, {})
    (tmp_path / "link.json").symlink_to("away.json")
    with pytest.raises(MissingFileError, match="is a link to away.json, which is not there"):
        read_batch(tmp_path / "link.json", {})


def test_a_null_byte_in_a_name_is_told_as_the_job_s(tmp_path):
    job = {"id": "a", "input_image": "x.png", "prompt": "p", "output_path": "a\0b.mp4"}
    with pytest.raises(BadInputError, match="a: output_path: .*null byte"):
        read_batch(write(tmp_path, [job]), {})


def test_a_photograph_beside_the_file_is_found(tmp_path):
    (tmp_path / "photo.png").touch()
    job = read_batch(write(tmp_path, [{"id": "a", "input_image": "photo.png", "prompt": "x"}]), {})[
        0
    ]
    assert job.request.input_image == tmp_path / "photo.png"
