"""A family for tests: of no hub, a few thousand weights, unlike CogVideoX wherever the engine might
take it for that.

It matches flows (timesteps that are no integers, sigmas), has latents in another order, frames 4k +
1, sizes in multiples of 8, no tokenizer, no adapters. `tests/contracts/family/` runs it
through the engine. Not in `families.py`: a test puts it there.
"""
