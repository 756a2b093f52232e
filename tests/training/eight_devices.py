"""Trains some steps on each of several meshes of eight devices, prints what came out as JSON."""

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
SEEDS = (0, 1)
OPTIONS = {"ema_decay": 0.9, "accumulate": 2, "optimizer.name": "muon"}
"""What is tried on the last mesh, by one run and by two seeds in one step."""
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


def train(data, fsdp, seeds=SEEDS[:1], steps=20, **changes):
    """Losses of some steps, shapes of a big parameter and of one device's part, and of moments."""
    config = config_with(**{"mesh.data": data, "mesh.fsdp": fsdp}, **changes)
    learning_rate = optax.constant_schedule(1e-3)
    optimizer = optimizers.make_optimizer(config, learning_rate)
    mesh = sharding.make_mesh(config)
    abstract = step.abstract_state(DESCRIPTION, optimizer, config, mesh)
    states = []
    for config.seed in seeds:
        states.append(step.init_state(abstract, DESCRIPTION, optimizer, config))
    state, rows = states[0], sharding.rows(mesh)
    if len(seeds) > 1:
        state, rows = step.stack(states), sharding.stacked(rows)
    config.loss.class_weights = "1.9,1.4,0.6"
    loss = losses.make_loss(config, np.arange(3), DESCRIPTION)
    advance = step.make_step(
        DESCRIPTION, optimizer, learning_rate, config, loss, "all", abstract, mesh, runs=len(seeds)
    )
    given, found = [batches(seed) for seed in seeds], []
    for _ in range(steps):
        batch = [next(own) for own in given]
        fields = batch[0] if len(seeds) == 1 else jax.tree.map(lambda *x: np.stack(x), *batch)
        state, metrics = advance(state, sharding.to_devices(fields, rows))
        found.append(metrics["loss"].tolist())
    if len(seeds) > 1:
        state = step.unstack(state, abstract)[-1]
    big = state.params[BIG[0]][BIG[1]]
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.shape == big.shape]
    return {
        "losses": found,
        "shape": big.shape,
        "parts": [leaf.addressable_shards[0].data.shape for leaf in (big, *moments)],
        "average": None if state.ema is None else float(optax.tree.norm(state.ema)),
    }


def batches(seed):
    random = np.random.default_rng(seed)
    while True:
        labels = random.integers(0, 3, 16)
        images = random.integers(0, 256, (16, 32, 32, 3)) // 2 + 60 * labels[:, None, None, None]
        yield {
            "image": images.astype(np.uint8),
            "label": labels.astype(np.int32),
            "probs": np.zeros((16, 3), np.float32),
            "mask": random.random(16) < 0.9,
        }


def with_options(data, fsdp, seeds):
    """The same with `OPTIONS`."""
    return train(data, fsdp, seeds, 8, **OPTIONS)


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
                "options": with_options(*MESHES[-1], SEEDS[:1]),
                "seeds": with_options(*MESHES[-1], SEEDS),
                "refusals": [refusal(changes) for changes in BAD],
            }
        )
    )
