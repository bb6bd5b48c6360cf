import pytest

from src.core.config import read_yaml
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import is_file, is_folder
from src.core.request import build_request


@pytest.mark.parametrize(
    "text", ["seed: 2020-13-45", "prompt: " + "[" * 3000 + "]" * 3000, "seed: " + "9" * 5000,
             "a: [", "- a", "seed: 1\nfps: 8\nseed: 2"],
    ids=["date", "deep", "long-number", "open", "list", "twice"],
)  # fmt: skip
def test_what_yaml_cannot_read_is_one_sentence(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(BadInputError, match="c.yaml"):
        read_yaml(path)


def test_a_key_that_stands_twice_is_told_with_its_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\n")
    assert read_yaml(path)["c"] == {"b": 2}
    path.write_text("models:\n  nano: {rank: 1}\n  nano: {rank: 2}\n")
    with pytest.raises(BadInputError, match="'nano' stands twice .*line 3"):
        read_yaml(path)


def test_a_name_too_long_to_look_up_does_not_exist(tmp_path):
    assert not is_file(tmp_path / ("a" * 5000))
    assert not is_folder(tmp_path / ("a" * 5000))
    with pytest.raises(MissingFileError):
        read_yaml(tmp_path / ("a" * 5000))


def test_an_error_names_the_layer_the_value_came_from(tmp_path, monkeypatch):
    config = tmp_path / "c.yaml"
    config.write_text("seed: abc")
    with pytest.raises(BadInputError, match=r"c\.yaml: seed:"):
        build_request({"input_image": "x.png"}, config)
    monkeypatch.setenv("NEWSREEL_SEED", "abc")
    with pytest.raises(BadInputError, match="environment: seed:"):
        build_request({"input_image": "x.png"})
    monkeypatch.delenv("NEWSREEL_SEED")
    with pytest.raises(BadInputError, match="request: seed:"):
        build_request({"input_image": "x.png", "seed": -1})


def test_an_error_shows_a_long_value_in_short(tmp_path):
    config = tmp_path / "c.yaml"
    levels = [
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]"
        for old, new in zip("abcdefg", "bcdefgh", strict=True)
    ]
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]", *levels, "prompt: *h"]
    config.write_text("\n".join(lines))
    with pytest.raises(BadInputError) as caught:
        build_request({"input_image": "x.png"}, config)
    assert len(str(caught.value)) < 6000
