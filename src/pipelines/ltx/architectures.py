"""The configurations of LTX-Video in its first form: sizes without weights. Transformer and VAE are
what diffusers' classes have without being told; the encoder is as the model's card names it.
"""

from src.pipelines.encoders import T5_XXL
from src.pipelines.sides import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    "ltx-video": {"text_encoder": T5_XXL, "transformer": {}, "vae": {}}
}
