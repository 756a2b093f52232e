"""The original's recipe: Google's ImageNet-21k + ImageNet-2012 weights, pixels as TensorFlow's.

The argument is the variant, B/16, B/32, L/16 or L/32: `configs/original.py:L/16`; B/16 when there
is none. The only training script that was published is the one for B/16 at 384 pixels; what the
others share with it is an assumption, and listed. The original reads the training list in the same
order in every epoch; `--config.data.shuffle=False` does so too.
"""

from ml_collections import ConfigDict

from configs import common

ARGUMENTS = ("B/16", "B/32", "L/16", "L/32")


def get_config(arg: str = "B/16") -> ConfigDict:
    """The recipe for one variant."""
    if arg not in ARGUMENTS:
        raise ValueError(
            f"configs/original.py: expected one of {', '.join(ARGUMENTS)}, found {arg!r}"
        )
    config = common.get_config()
    side = 224 if arg == "B/32" else 384
    config.model.update(
        variant=arg,
        image_size=(side, side),
        gelu="exact",  # vit-keras' blocks.
        pixel_mode="exact",
    )
    letter, patch = arg.split("/")
    config.init_from = f"checkpoints/ViT-{letter}_{patch}_imagenet21k+imagenet2012.npz"
    if arg != "B/16":
        config.assumed = ("stages", "optimizer", "loss", "data.batch_size")
    return config
