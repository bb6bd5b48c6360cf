from src.pipelines.loading import read_pipeline
from src.pipelines.text import beyond


def test_the_part_beyond_the_limit_is_named(tiny_folder):
    import torch

    tokenizer = read_pipeline(tiny_folder, torch.float32).tokenizer
    assert beyond(tokenizer, "pan left", 32) == ""
    prompt = "press briefing at city hall " * 9 + "zebra"
    assert beyond(tokenizer, prompt, 32).endswith("zebra")
