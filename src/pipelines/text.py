"""What the text encoder reads of a prompt, and what it does not."""

from typing import Any


def beyond(tokenizer: Any, prompt: str, limit: int) -> str:
    """The end of `prompt` beyond `limit` tokens (the end-of-text token counts), "" when all is
    read.
    """
    tokens = tokenizer(prompt, add_special_tokens=False).input_ids
    kept = limit - 1
    return tokenizer.decode(tokens[kept:]).strip() if len(tokens) > kept else ""
