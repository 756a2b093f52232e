"""Augments one batch on one device and split over eight, and prints how they differ as JSON."""

import functools
import json
import os

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from configs import common
from vit_sentiment.training import augment, sharding

ROWS = 16


def everything():
    """A config with every operation on."""
    config = common.get_config().augment
    config.update(
        crop_area=(0.2, 1.0), crop_ratio=(0.75, 1.33), flip=0.5, brightness=0.4, contrast=0.4,
        saturation=0.4, hue=0.1, erase=0.5, mixup=0.8, cutmix=1.0,
    )  # fmt: skip
    return config


def compare():
    """Differences, and what the split program moves between devices."""
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 3)).astype(np.uint8)
    mask = np.arange(ROWS) != 3
    config = common.get_config()
    config.mesh.update(data=4, fsdp=2)
    config.data.batch_size = ROWS
    rows = sharding.rows(sharding.make_mesh(config))
    step = jax.jit(functools.partial(augment.augment, everything()))
    found, program = {}, ""
    for name, where in (("split", rows), ("one", SingleDeviceSharding(jax.devices()[0]))):
        batch = jax.device_put((images, mask), where)
        compiled = step.lower(*batch, jax.random.key(0)).compile()
        program = program or compiled.as_text()
        found[name] = compiled(*batch, jax.random.key(0))
    (split, split_mixing), (one, one_mixing) = found["split"], found["one"]
    return {
        "rows_on_each": sorted({part.data.shape[0] for part in split.addressable_shards}),
        "pixels": float(np.abs(np.array(split) - np.array(one)).max()),
        "changed": float(np.abs(np.array(split) - images).mean()),
        "shares": np.array(split_mixing.share).tolist(),
        "shares_of_one": np.array(one_mixing.share).tolist(),
        "gathers": [op for op in ("all-gather", "all-to-all") if op in program],
    }


if __name__ == "__main__":
    # Compiling is most of the time here.
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    print(json.dumps(compare()))
