import pytest

from src.core.errors import BadInputError
from src.core.prompts import find_template, load_templates


def test_every_press_template_renders_without_any_slot_set():
    templates = load_templates()
    assert set(templates) == {
        "briefing", "breaking_news", "market_commentary", "interview", "sports_desk", "weather",
        "archive",
    }  # fmt: skip
    for template in templates.values():
        assert "{" not in template.render({})
        assert template.negative_prompt
        assert template.guidance_scale


def test_a_slot_is_filled():
    assert "Lyon" in load_templates()["briefing"].render({"city": "Lyon"})


def test_unknown_slot_and_template_list_the_known_ones():
    templates = load_templates()
    with pytest.raises(BadInputError, match="unknown slot 'town'.*city, place, speaker"):
        templates["briefing"].render({"town": "Lyon"})
    with pytest.raises(BadInputError, match="unknown template 'brief'.*archive, breaking_news"):
        find_template("brief", templates)


def test_a_template_must_declare_what_it_uses(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("templates:\n  a: {description: d, prompt: 'in {city}'}\n")
    with pytest.raises(BadInputError, match="declares and uses different slots: city"):
        load_templates(path)
