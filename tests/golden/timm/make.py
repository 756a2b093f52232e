"""Makes the files beside it: timm reads what our writer wrote, with its own loader.

Needs Python 3.11, timm 1.0.31, torch 2.14.1 and numpy 2.4.6. From the root of this repository,
after `weights.py` has filled FOLDER:

    PYTHONPATH=tests python tests/golden/timm/make.py FOLDER

`expected.npz` has `images` [3, 32, 32, 3] and, for each GELU form, NAME/features, timm's
`forward_head(forward_features(images), pre_logits=True)`, and NAME/logits. `expected.json` has the
versions and for each form the weights' `model_id` and the arrays that timm read and left.
"""

import collections
import functools
import json
import pathlib
import sys

import numpy as np
import timm
import torch
from golden import random_weights
from timm.models import vision_transformer

FOLDER = pathlib.Path(__file__).parent
GELUS = {"tanh": functools.partial(torch.nn.GELU, approximate="tanh"), "exact": torch.nn.GELU}


class Recorded(collections.UserDict):
    """A dict that remembers what was taken out of it."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.taken = set()

    def __getitem__(self, name):
        self.taken.add(name)
        return super().__getitem__(name)


def load(path, gelu):
    """A timm model with the weights of `path`, and the file's arrays that it read and left."""
    model = vision_transformer.VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=48,
        depth=2,
        num_heads=4,
        mlp_ratio=2,
        num_classes=3,
        act_layer=GELUS[gelu],
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    read = []
    original = vision_transformer._load_npz_checkpoint

    def record(*args, **kwargs):
        read.append(Recorded(original(*args, **kwargs)))
        return read[-1]

    vision_transformer._load_npz_checkpoint = record
    try:
        model.load_pretrained(str(path))
    finally:
        vision_transformer._load_npz_checkpoint = original
    unset = [name for name, value in model.named_parameters() if value.isnan().any()]
    assert not unset, f"timm left parameters unset: {unset}"
    (arrays,) = read
    return model, sorted(arrays.taken), sorted(set(arrays) - arrays.taken)


def main(weights):
    images = random_weights.images((3, 32, 32, 3), seed=40)
    inputs = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    expected = {"images": images}
    facts = {"timm": timm.__version__, "torch": torch.__version__, "weights": {}}
    for gelu in GELUS:
        path = weights / f"{gelu}.npz"
        model, read, left = load(path, gelu)
        with torch.no_grad():
            features = model.forward_head(model.forward_features(inputs), pre_logits=True)
            logits = model(inputs)
        expected |= {f"{gelu}/features": features.numpy(), f"{gelu}/logits": logits.numpy()}
        model_id = json.loads(path.with_suffix(".json").read_text())["model_id"]
        facts["weights"][gelu] = {"model_id": model_id, "read": read, "left": left}
    np.savez(FOLDER / "expected.npz", **expected)
    (FOLDER / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")


main(pathlib.Path(sys.argv[1]))
