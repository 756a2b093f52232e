"""The 12 models of the original system by name, and what their Keras files do not tell.

Source: codiceSpaghetti/T4SA-2.0, utils.py (`get_vit_type`, `image_size_mapper`, `load_image_tf`)
and test_benchmark.py; its README for the training sets. Where to get the files:
`checkpoints.releases`. What was published of them: `vit_sentiment/evaluation/published.csv`.
"""

import dataclasses

_UNIT, _SYMMETRIC = (0.0, 1.0), (-1.0, 1.0)
_UNEQUAL = "confidence 0.70 (negative) and 0.90"


@dataclasses.dataclass(frozen=True)
class Model:
    """One of the original's models.

    Attributes:
      name: what the original calls it.
      variant: its architecture.
      image_size: side of its square images in pixels.
      input_range: what pixels 0 and 255 become when it is tested; [0, 1] for the ViT-B/32, which
        were trained so although their backbone expects [-1, 1].
      training_set: what it was trained on, as far as that is documented.
    """

    name: str
    variant: str
    image_size: int
    input_range: tuple[float, float]
    training_set: str


MODELS = {
    model.name: model
    for model in (
        Model("boosted_model", "L/16", 384, _SYMMETRIC, "not documented"),
        Model("ViT_L16", "L/16", 384, _SYMMETRIC, "B-T4SA 1.0, new labels, and T4SA 2.0"),
        Model("ViT_L32", "L/32", 384, _SYMMETRIC, "B-T4SA 1.0, new labels, and T4SA 2.0"),
        Model("ViT_B16", "B/16", 384, _SYMMETRIC, "B-T4SA 1.0, new labels, and T4SA 2.0"),
        Model("ViT_B32", "B/32", 224, _UNIT, "B-T4SA 1.0, new labels, and T4SA 2.0"),
        Model("merged_T4SA", "B/32", 224, _UNIT, "B-T4SA 1.0, new labels, and T4SA 2.0, merged"),
        Model("bal_flat_T4SA2.0", "B/32", 224, _UNIT, "T4SA 2.0, confidence 0.70, balanced"),
        Model("bal_T4SA2.0", "B/32", 224, _UNIT, f"T4SA 2.0, {_UNEQUAL}, balanced"),
        Model("unb_T4SA2.0", "B/32", 224, _UNIT, f"T4SA 2.0, {_UNEQUAL}"),
        Model("B-T4SA_1.0", "B/32", 224, _UNIT, "B-T4SA 1.0"),
        Model("B-T4SA_1.0_upd", "B/32", 224, _UNIT, "B-T4SA 1.0, new labels"),
        Model("B-T4SA_1.0_upd_filt", "B/32", 224, _UNIT, "B-T4SA 1.0, new labels, confidence 0.70"),
    )
}
