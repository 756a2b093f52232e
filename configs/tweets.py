"""A student of the tweets that `distill` wrote, from Google's weights or from scratch.

`configs/tweets.py` fine-tunes ViT-B/32 at 224 pixels from `config.init_from`, an .npz checkpoint;
`configs/tweets.py:small` trains a small ViT at 64 pixels from random weights, which runs anywhere
and, on a thousand tweets, learns little: a baseline for what pre-training brings.
"""

from ml_collections import ConfigDict

from configs import common

ARGUMENTS = ("", "small")


def get_config(arg: str = "") -> ConfigDict:
    """The fine-tuned student, or the `small` one."""
    if arg not in ARGUMENTS:
        raise ValueError(f"configs/tweets.py: expected no argument or `small`, found {arg!r}")
    config = common.get_config()
    config.data.train = "runs/data/tweets"
    # Hard labels as they are: of all that was compared, nothing learns better from a noisy teacher,
    # and smoothing is worse. See docs/noise.md.
    config.loss.label_smoothing = 0.0
    config.model.update(variant="B/32", image_size=(224, 224), dropout=0.1)
    if arg == "small":
        config.model.update(
            variant="",
            patch_size=8,
            hidden_size=96,
            num_layers=4,
            num_heads=4,
            mlp_size=192,
            image_size=(64, 64),
            head_hidden=0,
        )
        config.optimizer.update(name="adamw", weight_decay=0.05, clip_norm=1.0)
        config.stages = (
            common.stage(epochs=20.0, learning_rate=5e-4, schedule="cosine", warmup_steps=50),
        )
    return config
