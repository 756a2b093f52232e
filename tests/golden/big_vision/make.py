"""Makes the files beside it with google-research/big_vision 5f95305 and random weights.

Needs Python 3.11, jax 0.10.2, flax 0.12.8, numpy 2.4.6, scipy and absl-py, and a checkout of
big_vision (of which `vit.py`, `proj/image_text/two_towers.py` and `text_transformer.py` below
`big_vision/models/` are used, unchanged). From the root of this repository:

    PYTHONPATH=CHECKOUT:tests JAX_PLATFORMS=cpu python tests/golden/big_vision/make.py

`NAME.npz` is what big_vision saves of `{"params": params}`: '/'-joined names. `expected.npz` has
`images` [3, 32, 32, 3] and for each NAME:
  NAME/features: `out["head_input"]`, the pooled vector before `pre_logits` and `head`
  NAME/pre_logits: `out["pre_logits"]`, which is features unless there is a `pre_logits` layer
  NAME/logits: `out["logits"]`, where there is a head
"""

import importlib
import pathlib
import sys
import types

import flax.traverse_util
import jax
import numpy as np
from golden import random_weights

# big_vision's models need these two for reading files alone; the real ones import TensorFlow.
for name in ("big_vision.utils", "big_vision.models.common"):
    sys.modules[name] = types.ModuleType(name)
vit = importlib.import_module("big_vision.models.vit")
two_towers = importlib.import_module("big_vision.models.proj.image_text.two_towers")

FOLDER = pathlib.Path(__file__).parent
SIZES = {"patch_size": (8, 8), "width": 48, "depth": 3, "mlp_dim": 96, "num_heads": 4}
TEXT = {"width": 16, "depth": 1, "mlp_dim": 32, "num_heads": 2, "vocab_size": 20}
IMAGES = random_weights.images((3, 32, 32, 3), seed=0)
TOKENS = np.zeros((3, 8), np.int32)

VARIANTS = {
    "gap": vit.Model(7, pool_type="gap", **SIZES),
    "gap_scan": vit.Model(7, pool_type="gap", scan=True, **SIZES),
    "map": vit.Model(7, pool_type="map", **SIZES),
    "map_pre_logits": vit.Model(7, pool_type="map", rep_size=True, **SIZES),
    "tok": vit.Model(7, pool_type="tok", **SIZES),
}
# As in big_vision/configs/proj/image_text/siglip_lit_coco.py: no head on the image's side.
SIGLIP = two_towers.Model(
    image={"pool_type": "map", **SIZES}, text=TEXT, out_dim=(None, 48), bias_init=-10.0
)


def flatten(tree):
    return flax.traverse_util.flatten_dict(tree, sep="/")


def unflatten(flat):
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def shapes(module, *inputs):
    """Names and shapes of the parameters that big_vision's own `init` makes."""
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return {name: leaf.shape for name, leaf in flatten(variables["params"]).items()}


def stacked(flat, stacked_shapes):
    """The same weights with the blocks along a first axis, as `scan` has them."""
    block = "Transformer/encoderblock"

    def array(name):
        if name.startswith(f"{block}/"):
            rest = name.removeprefix(block)
            return np.stack([flat[f"{block}_{i}{rest}"] for i in range(SIZES["depth"])])
        return flat[name]

    result = {name: array(name) for name in stacked_shapes}
    assert {name: value.shape for name, value in result.items()} == stacked_shapes
    return result


def save(name, flat):
    params = {f"params/{key}": flat[key] for key in sorted(flat)}
    np.savez_compressed(FOLDER / f"{name}.npz", **params)
    for key, value in params.items():
        print(name, key, value.shape)


def main():
    expected = {"images": IMAGES}

    def keep(name, out):
        expected[f"{name}/features"] = out["head_input"]
        expected[f"{name}/pre_logits"] = out["pre_logits"]
        if "logits" in out:
            expected[f"{name}/logits"] = out["logits"]

    weights = {}
    for seed, (name, module) in enumerate(VARIANTS.items(), start=1):
        wanted = shapes(module, IMAGES)
        if name == "gap_scan":
            weights[name] = stacked(weights["gap"], wanted)
        else:
            weights[name] = random_weights.like(wanted, seed)
        save(name, weights[name])
        _, out = module.apply({"params": unflatten(weights[name])}, IMAGES)
        keep(name, out)

    flat = random_weights.like(shapes(SIGLIP, IMAGES, TOKENS), seed=10)
    save("siglip", flat)
    _, _, out = SIGLIP.apply({"params": unflatten(flat)}, IMAGES, TOKENS)
    keep("siglip", {k.removeprefix("img/"): v for k, v in out.items() if k.startswith("img/")})

    np.savez(FOLDER / "expected.npz", **{name: np.asarray(v) for name, v in expected.items()})


with jax.default_matmul_precision("highest"):
    main()
