"""Fine-tuning a trained model on a small benchmark, as the original's folds and FI splits are.

`configs/cross_validate.py` shuffles in every epoch; `:original` reads the benchmark in the same
order each time, as the original does. Model, data and output mask come from the command line of
`cross_validate`, sizes and input range from the model. Fields that are None are decided by the kind
of the parts; a value of one's own takes precedence.
"""

from ml_collections import ConfigDict, config_dict

from configs import common

ARGUMENTS = ("", "original")


def get_config(arg: str = "") -> ConfigDict:
    """The recipe of the original's folds and FI splits."""
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
    # Epochs: 12 of a fold, 5 of a given split.
    config.stages = (common.stage(learning_rate=1e-4),)
    config.stages[0].epochs = config_dict.placeholder(float)
    # A fold, which has no validation part, is validated at its end alone; a given split after each
    # 200 steps and each epoch.
    config.validation.every_steps = config_dict.placeholder(int)
    config.validation.every_epochs = config_dict.placeholder(int)
    config.validation.batch_size = 32
    config.validation.metric = "binary_accuracy"
    return config
