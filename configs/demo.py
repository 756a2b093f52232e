"""A small ViT on the drawn demo tweets, from scratch, in a minute on two cores.

Three in ten labels are drawn at random, so longer is not better: after some ten epochs the student
begins to learn the noise by heart. Hard labels, because softened ones blur the moods further.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """The demo's student."""
    config = common.get_config()
    config.model.update(
        variant="",
        patch_size=8,
        hidden_size=64,
        num_layers=4,
        num_heads=4,
        mlp_size=256,
        image_size=(32, 32),
        dropout=0.0,
        head_hidden=0,
    )
    config.data.train = "runs/demo/data/distilled"
    config.data.batch_size = 64
    config.loss.label_smoothing = 0.0
    config.loss.class_weights = "none"
    config.optimizer.update(name="adamw", weight_decay=0.05, clip_norm=1.0)
    config.stages = (
        common.stage(epochs=6.0, learning_rate=1e-3, schedule="cosine", warmup_steps=200),
    )
    return config
