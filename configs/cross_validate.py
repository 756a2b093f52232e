"""Fine-tuning a trained model on a small benchmark, as the original's folds and FI splits are.

`configs/cross_validate.py` shuffles in every epoch; `:original` reads the benchmark in the same
order each time, as the original does. Model, data and output mask come from the command line of
`cross_validate`, sizes and input range from the model.
"""

from ml_collections import ConfigDict

from configs import common

ARGUMENTS = ("", "original")


def get_config(arg: str = "") -> ConfigDict:
    """The recipe of the original's folds."""
    if arg not in ARGUMENTS:
        raise ValueError(
            f"configs/cross_validate.py: expected no argument or `original`, found {arg!r}"
        )
    config = common.get_config()
    config.seed = 42
    config.init_head = "keep"
    config.data.label = "human_label"
    config.data.shuffle = arg != "original"
    config.loss.label_smoothing = 0.0
    config.loss.class_weights = "none"
    config.model.pixel_mode = "exact"
    config.stages = (common.stage(epochs=12.0, learning_rate=1e-4),)
    # Folds have no validation part: the last weights are judged.
    config.validation.every_epochs = 0
    config.validation.metric = "binary_accuracy"
    return config
