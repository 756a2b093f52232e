"""A tiny model, photos and lists of them."""

import dataclasses

import jax
import numpy as np
from PIL import Image

from checkpoints import google_npz
from vit_sentiment.inference.decision import Rule
from vit_sentiment.inference.model import Model
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.predicting import score_list
from vit_sentiment.predicting.choices import Choice
from vit_sentiment.predicting.scoring import Options

CALIBRATION = Calibration(
    1.0, (0.2, 0.3, 0.5), 9, "tweets", "validation", "human_label", "0f", None, ((0.0, 1.0, 0.5),)
)
DESCRIPTION = ModelDescription(
    image_size=(16, 16), patch_size=8, hidden_size=12, num_layers=1, num_heads=2, mlp_size=16,
    calibration=CALIBRATION,
)  # fmt: skip
PHOTOS = 12
ROWS = 16
"""Of a shard: two batches."""


def make_model(seed=0):
    """Drawn without JAX, which would have to compile."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        spread = 1.0 if path[0].key == "head" else 0.3
        return rng.normal(0, spread, leaf.shape).astype(np.float32)

    params = jax.tree_util.tree_map_with_path(draw, abstract_params(DESCRIPTION))
    return Model(DESCRIPTION, params, "drawn")


def write_model(path, model):
    google_npz.write(path, model.params, model.description)


def draw_photos(folder):
    """Names of drawn photos, relative to the folder."""
    names = []
    for number in range(PHOTOS):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3)).astype(np.uint8)
        names.append(f"photo {number} é.png" if number % 2 else f"{number}.jpg")
        Image.fromarray(pixels).save(folder / names[-1])
    return names


def score(model, path, out, *, choice=None, **changes):
    """Scores a list in this process; gives the summary."""
    options = Options(str(path), "path", str(path.parent), str(out), ROWS // 2, ROWS)
    options = dataclasses.replace(options, **changes)
    return score_list.score(model, choice or Choice(Rule()), options)


def parts(folder):
    """Name to bytes of the shards and their checksums."""
    paths = [*folder.glob("part-*.parquet"), folder / "SHA256SUMS"]
    return {path.name: path.read_bytes() for path in paths}
