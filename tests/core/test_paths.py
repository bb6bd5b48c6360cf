"""Names that are made of what people write."""

from src.core.paths import slug


def test_words_become_part_of_a_file_name():
    assert slug("Press briefing: at City Hall!") == "press-briefing-at-city-hall"
    assert slug("日本") == "clip" and slug("日本", otherwise="upscale") == "upscale"
    assert len(slug("word " * 40)) == 48
    assert slug("a" * 47 + " b") == "a" * 47
