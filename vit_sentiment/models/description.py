"""The model description: what weights alone do not say, saved as JSON beside every set of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from input_pipeline.records import CLASSES, PIXEL_MODES
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.runtime.errors import UserError

GELUS = ("tanh", "exact")
POOLINGS = ("cls", "mean", "map")
DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """Everything needed to build a classifier around a parameter tree and to feed it.

    Attributes:
      image_size: height and width in pixels, multiples of `patch_size`.
      patch_size: side of a square patch in pixels.
      hidden_size, num_layers, num_heads, mlp_size: sizes of the Transformer.
      gelu: form of the GELU in the blocks; Google's Flax models use `tanh`, vit-keras `exact`.
      layer_norm_epsilon: 1e-6 in Google's and vit-keras' models, 1e-12 in some others.
      dropout: rate after attention and twice in the MLP of each block, while training.
      stochastic_depth: probability with which a photo skips the branches of the last block while
        training; it grows linearly from 0 at the first.
      class_token: whether there is one; big_vision's and SigLIP's models have none.
      pooling: `cls` takes the class token, `mean` the average of the patch tokens, `map` attends
        to all tokens with a learned query.
      representation_size: width of the tanh layer before a linear head (the ImageNet-21k
        originals have one), or None.
      head_hidden: width of a Dense layer with tanh GELU before the output layer (32 in the
        original system), or None for a linear head.
      num_classes: width of the output layer; 0 for a backbone without head.
      classes: their names in the order of the logits; empty when nobody knows them.
      input_range: what pixel values 0 and 255 become.
      pixel_mode: how pixels are made from a file, see `input_pipeline.pixels`.
      dtype: of the computation; parameters are float32.
      output_mask: factors on the probabilities, or None.
      calibration: of these weights' probabilities on a labelled set, or None.
    """

    image_size: tuple[int, int]
    patch_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    mlp_size: int
    gelu: str = "tanh"
    layer_norm_epsilon: float = 1e-6
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    class_token: bool = True
    pooling: str = "cls"
    representation_size: int | None = None
    head_hidden: int | None = None
    num_classes: int = 3
    classes: tuple[str, ...] = CLASSES
    input_range: tuple[float, float] = (-1.0, 1.0)
    pixel_mode: str = "exact"
    dtype: str = "float32"
    output_mask: tuple[float, ...] | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "classes", "input_range", "output_mask"):
            value = getattr(self, name)  # JSON gives lists.
            object.__setattr__(self, name, None if value is None else tuple(value))
        if problems := self._problems():
            raise UserError(f"model description: {'; '.join(problems)}")

    def _problems(self) -> list[str]:
        problems = []
        for name in ("patch_size", "hidden_size", "num_layers", "num_heads", "mlp_size"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, found {getattr(self, name)}")
        for name, known in (
            ("gelu", GELUS),
            ("pooling", POOLINGS),
            ("pixel_mode", PIXEL_MODES),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in known:
                problems.append(f"{name} must be one of {known}, found {getattr(self, name)!r}")
        for name in ("dropout", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                found = getattr(self, name)
                problems.append(f"{name} must be at least 0 and less than 1, found {found}")
        if self.pooling == "cls" and not self.class_token:
            problems.append("pooling cls needs a class token (class_token)")
        if self.layer_norm_epsilon <= 0:
            problems.append(f"layer_norm_epsilon must be above 0, found {self.layer_norm_epsilon}")
        if (self.head_hidden or 0) < 0 or (self.representation_size or 0) < 0:
            problems.append("the widths of the head must not be negative")
        if len(self.input_range) != 2 or not self.input_range[0] < self.input_range[1]:
            problems.append(f"input_range must be (low, high), found {self.input_range}")
        if problems:
            return problems
        if self.hidden_size % self.num_heads:
            problems.append(f"hidden_size {self.hidden_size} % num_heads {self.num_heads} != 0")
        if len(self.image_size) != 2 or any(
            side < 1 or side % self.patch_size for side in self.image_size
        ):
            problems.append(
                f"image_size must be (height, width) in multiples of the patch size "
                f"{self.patch_size}, found {self.image_size}"
            )
        if self.classes and len(self.classes) != self.num_classes:
            problems.append(f"{len(self.classes)} classes for num_classes {self.num_classes}")
        if self.output_mask is not None and len(self.output_mask) != self.num_classes:
            problems.append(f"output_mask of {len(self.output_mask)} for {self.num_classes}")
        if self.calibration is not None and len(self.calibration.prior) != self.num_classes:
            shares = len(self.calibration.prior)
            problems.append(f"calibration: a prior of {shares} for {self.num_classes} classes")
        if self.head_hidden and self.representation_size:
            problems.append("head_hidden and representation_size exclude each other")
        return problems

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def num_positions(self) -> int:
        """Position embeddings: one for each patch, and one for the class token where it exists."""
        return self.grid[0] * self.grid[1] + self.class_token

    def replace(self, **changes: Any) -> "ModelDescription":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; `calibration` where there is one."""
        value = dataclasses.asdict(self)
        if self.calibration is None:
            del value["calibration"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> "ModelDescription":
        """Reads what `to_json` wrote; raises UserError that names `where` and the fields."""
        known = {field.name for field in dataclasses.fields(cls)}
        required = {
            field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING
        }
        if unknown := sorted(set(value) - known):
            raise UserError(f"{where}: unknown fields of a model description: {unknown}")
        if missing := sorted(required - set(value)):
            raise UserError(f"{where}: missing fields of a model description: {missing}")
        calibration = value.get("calibration")
        if calibration is not None:
            value = {**value, "calibration": Calibration.from_json(calibration, where)}
        return cls(**value)


VARIANTS = ("Ti/16", "S/16", "S/32", "B/16", "B/32", "L/16", "L/32", "H/14", "g/14")

# Hidden size, layers, heads, MLP size. B, L, H: Dosovitskiy et al. 2021 (arXiv 2010.11929);
# Ti, S: Steiner et al. 2022 (arXiv 2106.10270); g: Zhai et al. 2022 (arXiv 2106.04560).
_SIZES = {
    "Ti": (192, 12, 3, 768),
    "S": (384, 12, 6, 1536),
    "B": (768, 12, 12, 3072),
    "L": (1024, 24, 16, 4096),
    "H": (1280, 32, 16, 5120),
    "g": (1408, 40, 16, 6144),
}


def sizes(name: str) -> dict[str, int]:
    """Sizes of a named variant, such as `B/16`: the five size fields of the description."""
    if name not in VARIANTS:
        raise UserError(f"model variant: unknown {name!r}; known: {', '.join(VARIANTS)}")
    letters, patch = name.split("/")
    fields = ("hidden_size", "num_layers", "num_heads", "mlp_size")
    return dict(zip(fields, _SIZES[letters], strict=True)) | {"patch_size": int(patch)}
