"""The model in the repository: tokenizer, codes in closed form, decoder, text encoder,
transformer.
"""
