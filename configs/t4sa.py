"""The recipes of the original's published models, on the sets that `build --builder=t4sa` packs.

The argument is the model, and optionally a habit behind a comma:
`configs/t4sa.py:ViT_L16`, `configs/t4sa.py:ViT_L16,original`, `configs/t4sa.py:ViT_L16,modern`.

  (none)    the original's recipe without its oddities: shuffled, pixels in [-1, 1] as the backbone
            expects them, class weights from the training part, dropout as Google fine-tunes, and
            no photo that B-T4SA holds out in the merged set
  original  its exact habits: the lists' order in every epoch, [0, 1] for ViT-B/32, dropout 0.1,
            class weights from the complete lists
  modern    what we would choose today, for the same architecture and photos

Models: B-T4SA_1.0_upd, B-T4SA_1.0_upd_filt, bal_flat_T4SA2.0, bal_T4SA2.0, ViT_B32, ViT_L32,
ViT_B16, ViT_L16. The only training script that was published is the one for ViT_B16; what the
others share with it is an assumption, and listed in `assumed`. Every choice is explained in
docs/reproduction.md.
"""

import dataclasses

from ml_collections import ConfigDict

from configs import common


@dataclasses.dataclass(frozen=True)
class Model:
    """A published model.

    Attributes:
      variant: its architecture.
      dataset: the lists that it was trained on, as the builder `t4sa` calls them.
      counts: photos of each class in the complete lists, negative, neutral, positive (printed in
        the notebooks `Construction of T4SA 2.0` and `Predict text with TimeLM` of
        codiceSpaghetti/T4SA-2.0).
      assumed: fields, and whole sections, whose values nothing documents for it.
    """

    variant: str
    dataset: str
    counts: tuple[int, int, int]
    assumed: tuple[str, ...]


# train_vit.py trains ViT_B16; that it picked no checkpoint by a rule is all that it leaves open.
_B16 = ("validation.metric",)
_OTHERS = (
    *_B16,
    *("data.batch_size", "data.shuffle", "loss.class_weights", "loss.label_smoothing"),
    *("optimizer", "stages"),
)

_BALANCED = (195_363, 195_363, 195_363)
_MERGED = (259_939, 361_644, 881_515)

MODELS = {
    "B-T4SA_1.0_upd": Model("B/32", "b_t4sa_1_0_upd", (95_272, 182_295, 193_019), _OTHERS),
    # Two splits of it exist, and which one was trained on is not documented.
    "B-T4SA_1.0_upd_filt": Model(
        "B/32", "b_t4sa_1_0_upd_filt", (64_576, 130_712, 169_459), (*_OTHERS, "data.train")
    ),
    "bal_flat_T4SA2.0": Model("B/32", "bal_flat", _BALANCED, _OTHERS),
    "bal_T4SA2.0": Model("B/32", "bal", _BALANCED, _OTHERS),
    # The README says A+B of these; that it is the merged set is documented for ViT_B16 alone.
    "ViT_B32": Model("B/32", "merged", _MERGED, (*_OTHERS, "data.train")),
    "ViT_L32": Model("L/32", "merged", _MERGED, (*_OTHERS, "data.train")),
    "ViT_B16": Model("B/16", "merged", _MERGED, _B16),
    "ViT_L16": Model("L/16", "merged", _MERGED, (*_OTHERS, "data.train")),
}

HABITS = ("", "original", "modern")
ARGUMENTS = tuple(",".join(filter(None, (name, habit))) for name in MODELS for habit in HABITS)

_DROPOUT = {"B/32": 0.0, "B/16": 0.0, "L/32": 0.0, "L/16": 0.1}
"""google-research/vision_transformer: vit_jax/configs/models.py."""

_AUGREG = "{size}-i21k-300ep-lr_0.001-aug_{augmentation}-wd_0.1-do_0.0-sd_0.0"
_AUGMENTATION = {"B/32": "light1", "B/16": "medium1", "L/16": "strong1"}
"""Of the AugReg checkpoints in google-research/vision_transformer's README, without ViT-L/32."""


def get_config(arg: str = "ViT_B16") -> ConfigDict:
    """The recipe of a model, with the habit behind the comma."""
    if arg not in ARGUMENTS:
        raise ValueError(
            f"configs/t4sa.py: expected MODEL, MODEL,original or MODEL,modern, MODEL one of "
            f"{', '.join(MODELS)}, found {arg!r}"
        )
    name, _, habit = arg.partition(",")
    model = MODELS[name]
    config = common.get_config()
    side = 224 if model.variant == "B/32" else 384
    config.model.update(variant=model.variant, image_size=(side, side))
    if habit == "modern":
        _modern(config, model)
        return config
    # vit-keras' blocks, TensorFlow's pixels.
    config.model.update(gelu="exact", pixel_mode="exact")
    config.init_from = _google(model.variant)
    config.assumed = model.assumed
    if habit == "original":
        config.data.train = f"t4sa/{model.dataset}"
        config.data.shuffle = False
        config.loss.class_weights = _weights(model.counts)
        config.model.dropout = 0.1
        if model.variant == "B/32":
            config.model.input_range = (0.0, 1.0)
    else:
        by_tweet = "_by_tweet" if model.dataset == "merged" else ""
        config.data.train = f"t4sa/{model.dataset}{by_tweet}"
        config.model.dropout = _DROPOUT[model.variant]
    return config


def _modern(config: ConfigDict, model: Model) -> None:
    large = model.variant.startswith("L")
    config.data.train = f"t4sa/{model.dataset}_by_tweet"
    config.data.batch_size = 256
    config.model.update(dropout=0.0, head_hidden=0, dtype="bfloat16")
    config.init_from = _google(model.variant)
    if augmentation := _AUGMENTATION.get(model.variant):
        size = model.variant.replace("/", "_")
        config.init_from = _AUGREG.format(size=size, augmentation=augmentation)
    config.augment.update(crop_area=(0.5, 1.0), crop_ratio=(0.75, 1.33), flip=0.5)
    config.loss.update(label_smoothing=0.1, class_weights="none", logit_adjustment="prior")
    config.optimizer.update(
        name="adamw",
        eps=1e-8,
        weight_decay=0.05,
        decays="kernels",
        # The lowest block learns at some 2 % of the rate in both.
        layer_decay=0.85 if large else 0.75,
        clip_norm=1.0,
    )
    config.stages = (
        common.stage(trainable="head", epochs=0.25, learning_rate=1e-3, warmup_steps=100),
        common.stage(epochs=5.0, learning_rate=2e-4, schedule="cosine", warmup_steps=500),
    )
    config.ema_decay = 0.999
    config.validation.weights = "ema"
    config.execution.remat = "blocks" if large else "none"


def _google(variant: str) -> str:
    """The release that vit-keras' default weights were made from."""
    return f"imagenet21k+imagenet2012/ViT-{variant.replace('/', '_')}"


def _weights(counts: tuple[int, int, int]) -> str:
    """scikit-learn's `balanced` weights of these counts."""
    return ",".join(f"{sum(counts) / (len(counts) * count):.6g}" for count in counts)
