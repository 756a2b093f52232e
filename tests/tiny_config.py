"""A run that takes a second: 40 steps in two stages, with dropout."""

from configs import common, demo


def get_config():
    """The demo's config with a smaller model; --config.data.train is still to be set."""
    config = demo.get_config()
    config.model.update(hidden_size=16, num_layers=1, num_heads=2, mlp_size=32, dropout=0.1)
    config.data.train = ""
    config.data.batch_size = 16
    config.data.num_threads = 1
    config.stages = (
        common.stage(trainable="head", epochs=1.0, learning_rate=1e-2),
        common.stage(epochs=3.0, learning_rate=1e-3, warmup_steps=5),
    )
    config.validation.batch_size = 16
    config.log_every = 1
    return config
