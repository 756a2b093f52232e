"""Trains 20 steps on each of several meshes of eight devices and prints what came out as JSON."""

import json
import os

import jax
import numpy as np
import optax
import tiny_config

from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import losses, optimizers, sharding, step

MESHES = ((8, 1), (1, 8), (4, 2))
BAD = (
    {"mesh.fsdp": 3},
    {"mesh.data": 4},
    {"mesh.data": 16},
    {"mesh.fsdp": -1},
    {"mesh.fsdp": 0},
    {"data.batch_size": 12},
    {"data.batch_size": 0},
    {"validation.batch_size": 20},
)
BIG = ("embedding", "kernel")
DESCRIPTION = ModelDescription(
    image_size=(32, 32), patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_size=32,
    dropout=0.1,
)  # fmt: skip


def config_with(**changes):
    config = tiny_config.get_config()
    config.update_from_flattened_dict(changes)
    return config


def train(data, fsdp):
    """Losses of 20 steps, shapes of a big parameter and of one device's part, and of moments."""
    config = config_with(**{"mesh.data": data, "mesh.fsdp": fsdp})
    learning_rate = optax.constant_schedule(1e-3)
    optimizer = optimizers.make_optimizer(config, learning_rate)
    mesh = sharding.make_mesh(config)
    abstract = step.abstract_state(DESCRIPTION, optimizer, config, mesh)
    state = step.init_state(abstract, DESCRIPTION, optimizer, config)
    config.loss.class_weights = "1.9,1.4,0.6"
    loss = losses.make_loss(config, np.arange(3), DESCRIPTION)
    advance = step.make_step(
        DESCRIPTION, optimizer, learning_rate, config, loss, "all", abstract, mesh
    )
    random, found = np.random.default_rng(0), []
    for _ in range(20):
        labels = random.integers(0, 3, 16)
        images = random.integers(0, 256, (16, 32, 32, 3)) // 2 + 60 * labels[:, None, None, None]
        batch = {
            "image": images.astype(np.uint8),
            "label": labels.astype(np.int32),
            "probs": np.zeros((16, 3), np.float32),
            "mask": random.random(16) < 0.9,
        }
        state, metrics = advance(state, sharding.to_devices(batch, sharding.rows(mesh)))
        found.append(float(metrics["loss"]))
    big = state.params[BIG[0]][BIG[1]]
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.shape == big.shape]
    return {
        "losses": found,
        "shape": big.shape,
        "parts": [leaf.addressable_shards[0].data.shape for leaf in (big, *moments)],
    }


def refusal(changes):
    try:
        sharding.make_mesh(config_with(**changes))
    except UserError as error:
        return str(error)
    return None


if __name__ == "__main__":
    # Compiling is most of the time here, and these programs run for milliseconds.
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    print(
        json.dumps(
            {
                "devices": jax.device_count(),
                "meshes": {f"{data},{fsdp}": train(data, fsdp) for data, fsdp in MESHES},
                "refusals": [refusal(changes) for changes in BAD],
            }
        )
    )
