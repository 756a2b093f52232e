"""Makes the files beside it with Hugging Face transformers' DINOv2 and random weights.

Needs Python 3.11, transformers 5.24.0, torch 2.14.1, safetensors 0.8.0 and numpy 2.4.6. From the
root of this repository:

    PYTHONPATH=tests python tests/golden/dinov2_hf/make.py

`config.json` and `model.safetensors` are a `Dinov2Model`; names on disk are the same in
transformers 4 and 5. `expected.npz` has `pixel_values` [3, 3, 32, 32] and what the model gives:
`last_hidden_state` [3, 17, 48] (after the final LayerNorm) and `pooler_output` [3, 48] (its class
token).
"""

import pathlib

import numpy as np
import torch
import transformers
from golden import random_weights

FOLDER = pathlib.Path(__file__).parent
CONFIG = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "mlp_ratio": 2,
    "patch_size": 8,
    "image_size": 32,
}


def run(model, pixel_values):
    with torch.no_grad():
        out = model.eval()(pixel_values=torch.from_numpy(pixel_values))
    return {name: out[name].numpy() for name in ("last_hidden_state", "pooler_output")}


def main():
    model = transformers.Dinov2Model(transformers.Dinov2Config(**CONFIG))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = random_weights.like(shapes, seed=30)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    model.save_pretrained(FOLDER, safe_serialization=True)

    images = random_weights.images((3, 32, 32, 3), seed=30)
    pixel_values = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    expected = run(model, pixel_values)
    read = run(transformers.Dinov2Model.from_pretrained(FOLDER), pixel_values)
    for name, value in expected.items():
        np.testing.assert_array_equal(read[name], value)
    np.savez(FOLDER / "expected.npz", pixel_values=pixel_values, **expected)


main()
