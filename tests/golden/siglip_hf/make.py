"""Makes the files beside it with Hugging Face transformers' SigLIP and random weights.

Needs Python 3.11, transformers 5.24.0, torch 2.14.1, safetensors 0.8.0 and numpy 2.4.6. From the
root of this repository:

    PYTHONPATH=tests python tests/golden/siglip_hf/make.py

`config.json` and `model.safetensors` are a `SiglipVisionModel`; transformers 5 saves its arrays
without prefix, transformers 4 below `vision_model.`. `full/` is a `SiglipModel`, with the same
vision tower below `vision_model.`, and a text tower, in both. `expected.npz` has `pixel_values`
[3, 3, 32, 32] and what the model gives: `last_hidden_state` [3, 16, 48] (after the final
LayerNorm) and `pooler_output` [3, 48] (the attention-pooled features).
"""

import pathlib

import numpy as np
import torch
import transformers
from golden import random_weights

FOLDER = pathlib.Path(__file__).parent
VISION = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "patch_size": 8,
    "image_size": 32,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 20,
    "max_position_embeddings": 8,
    "projection_size": 48,
    "bos_token_id": 2,
    "eos_token_id": 1,
}


def run(model, pixel_values):
    with torch.no_grad():
        out = model.eval()(pixel_values=torch.from_numpy(pixel_values))
    return {name: out[name].numpy() for name in ("last_hidden_state", "pooler_output")}


def main():
    full = transformers.SiglipModel(
        transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
    )
    shapes = {name: tuple(value.shape) for name, value in full.state_dict().items()}
    weights = {k: torch.from_numpy(v) for k, v in random_weights.like(shapes, seed=20).items()}
    full.load_state_dict(weights)
    full.save_pretrained(FOLDER / "full", safe_serialization=True)

    vision = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**VISION))
    names = [name for name in weights if name.startswith("vision_model.")]
    vision.load_state_dict({name.removeprefix("vision_model."): weights[name] for name in names})
    vision.save_pretrained(FOLDER, safe_serialization=True)

    images = random_weights.images((3, 32, 32, 3), seed=20)
    pixel_values = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    expected = run(vision, pixel_values)
    for folder in (FOLDER, FOLDER / "full"):
        read = run(transformers.SiglipVisionModel.from_pretrained(folder), pixel_values)
        for name, value in expected.items():
            np.testing.assert_array_equal(read[name], value)
    np.savez(FOLDER / "expected.npz", pixel_values=pixel_values, **expected)


main()
