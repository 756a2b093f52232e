"""Keras `.h5` files of vit-keras classifiers, as the original system saved them.

A whole model has its weights below `model_weights`, a `model_config` and often the state of an
optimiser, which is ignored; a file of weights alone has them at the top. Names, and the order of
the layers, depend on how the model was nested, on what was frozen and on the versions, so arrays
are matched by the end of their name: `Transformer/encoderblock_0/...` of vit-keras 0.1,
`Transformer_encoderblock_0/...` of 0.2 (source: vit-keras, layers.py and vit.py; Keras,
legacy_h5_format.py).
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence

import h5py
import jax
import numpy as np

from checkpoints import google_npz, hdf5, keras_config, trees
from checkpoints.described import Described, refuse_loss
from checkpoints.keras_config import KerasModel
from vit_sentiment.models.classifier import Params, abstract_params
from vit_sentiment.models.description import VARIANTS, ModelDescription, sizes
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

WEIGHTS_GROUP = "model_weights"
DROPOUT = 0.1
"""Of every vit-keras model; a file of weights does not tell it."""
KERAS_VERSION = "2.15.0"
"""Whose layout is written."""

_BLOCK = r"Transformer[/_]encoderblock_(\d+)/"
_DENSE = r"(?:MlpBlock_3/)?(?:Transformer_encoderblock_\d+_)?Dense_([01])/"
_TO_RELEASED = [
    (r"embedding/(kernel|bias)", r"embedding/\1"),
    (r"class_token/cls", "cls"),
    (r"Transformer[/_]posembed_input/(pos_embedding)", r"Transformer/posembed_input/\1"),
    (r"Transformer[/_]encoder_norm/gamma", "Transformer/encoder_norm/scale"),
    (r"Transformer[/_]encoder_norm/beta", "Transformer/encoder_norm/bias"),
    (
        _BLOCK + r"(MultiHeadDotProductAttention_1/(?:query|key|value|out)/(?:kernel|bias))",
        r"Transformer/encoderblock_\1/\2",
    ),
    (_BLOCK + _DENSE + "(kernel|bias)", r"Transformer/encoderblock_\1/MlpBlock_3/Dense_\2/\3"),
    (_BLOCK + r"LayerNorm_([02])/gamma", r"Transformer/encoderblock_\1/LayerNorm_\2/scale"),
    (_BLOCK + r"LayerNorm_([02])/beta", r"Transformer/encoderblock_\1/LayerNorm_\2/bias"),
    (r"(pre_logits|head)/(kernel|bias)", r"\1/\2"),
]
"""End of a name in Keras, and the name in Google's releases, which has the same array."""

_HEAD_DENSE = re.compile(r"(?:.*/)?(dense(?:_(\d+))?)/(kernel|bias)")
_MASK = re.compile(r"multiply(_\d+)?")
_ACTIVATIONS = {
    "pre_logits": ("tanh",),
    "head_hidden": ("gelu",),
    "head_out": ("softmax", "linear"),
    "head": ("softmax", "linear"),
}


def read(
    path: str | os.PathLike[str],
    *,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
    mask: tuple[float, ...] | None = None,
    input_range: tuple[float, float] | None = None,
    fallback_heads: int | None = None,
) -> tuple[Described, trees.Flat]:
    """Reads a file: what it says of its model, and its arrays under our names.

    Args:
      num_heads: of a file of weights alone that is not of a known size.
      image_size: of a file of weights alone whose positions are not a square grid.
      mask: factors on the probabilities, of a k-fold model's file of weights alone.
      input_range: what no Keras file tells; [-1, 1] without it.
      fallback_heads: taken where nothing else tells.

    Raises:
      UserError: no such file, damaged, another model, a Lambda that is not known, a hint that
        contradicts; or arrays do not fit, all of them in one message under Keras' names.
    """
    with hdf5.opened(path) as file, _named(path):
        text = hdf5.text(file, "model_config")
        model = None if text is None else keras_config.parse(text)
        found = hdf5.contents(file.get(WEIGHTS_GROUP, file), leave_out=("optimizer_weights",))
        names, problems = _released(found.arrays)
        shapes = {name: found.arrays[theirs].shape for name, theirs in names.items()}
        if not any(name.startswith("Transformer/encoderblock_") for name in shapes):
            raise UserError(_no_blocks(found))
        heads, heads_source = _heads(shapes, model, num_heads, fallback_heads)
        description = google_npz.description_from_shapes(
            "its shapes",
            shapes,
            num_heads=heads,
            image_size=(model and model.image_size) or image_size,
            gelu="exact",
        ).replace(class_token=True, pooling="cls", dropout=model.dropout if model else DROPOUT)
        problems += [*found.problems, *_misfits(names, shapes, description)]
        if model:
            problems += _other_activations(names, model)
            _contradictions(description, model, num_heads, image_size, mask)
        if problems:
            raise UserError("\n  ".join(["does not fit the model:", *sorted(problems)]))
        masked = any(map(_MASK.fullmatch, found.groups))
        described = _describe(description, model, masked, heads_source, mask, input_range)
        arrays = hdf5.read_arrays(found.arrays, os.path.getsize(path))
    flat = {name: arrays[theirs] for name, theirs in names.items()}
    return described, google_npz.to_memory_names(google_npz.with_heads(flat, description))


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _no_blocks(found: hdf5.Contents) -> str:
    if any(re.search(r"/vars/\d+$", name) for name in found.arrays):
        return (
            "a .weights.h5 of Keras 3 numbers its arrays instead of naming them; save the whole "
            "model instead: model.save('NAME.h5')"
        )
    names = sorted(found.arrays) or ["none"]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        "not a vit-keras model: expected arrays such as Transformer/encoderblock_0/LayerNorm_0/"
        f"gamma:0, found: {', '.join(names[:5])}{more}"
    )


def _released(arrays: Mapping[str, h5py.Dataset]) -> tuple[dict[str, str], list[str]]:
    """Released names to the names in the file, and what has none or shares one."""
    names: dict[str, str] = {}
    problems: list[str] = []

    def add(name: str, theirs: str) -> None:
        if name in names:
            problems.append(f"twice: {names[name]} and {theirs}")
        names[name] = theirs

    dense: dict[str, dict[str, str]] = {}
    for theirs in sorted(arrays):
        end = theirs.removesuffix(":0")
        if name := _released_name(end):
            add(name, theirs)
        elif head := _HEAD_DENSE.fullmatch(end):
            dense.setdefault(head[1], {})[head[3]] = theirs
        else:
            problems.append(f"unexpected: {theirs} {arrays[theirs].shape}")
    layers = _head_layers(dense, arrays)
    for layer, parts in dense.items():
        for part, theirs in parts.items():
            if layer in layers:
                add(f"{layers[layer]}/{part}", theirs)
            else:
                problems.append(f"unexpected: {theirs} {arrays[theirs].shape}")
    return names, problems


def _head_layers(
    dense: Mapping[str, Mapping[str, str]], arrays: Mapping[str, h5py.Dataset]
) -> dict[str, str]:
    """Keras' Dense layers to ours; counters go on from model to model, so shapes tell as well."""
    names = sorted(dense, key=lambda name: int(name.partition("_")[2] or 0))
    if len(names) == 1:
        return {names[0]: "head"}
    if len(names) != 2:
        return {}

    def fits(first: str, second: str) -> bool:
        """Whether the second can take what the first gives."""
        kernels = [arrays[dense[n]["kernel"]].shape for n in (first, second) if "kernel" in dense[n]]
        return len(kernels) == 2 and kernels[0][-1] == kernels[1][0]

    if not fits(*names) and fits(*reversed(names)):
        names.reverse()
    return dict(zip(names, ("head_hidden", "head_out"), strict=True))


def _heads(
    shapes: Mapping[str, tuple[int, ...]],
    model: KerasModel | None,
    given: int | None,
    fallback: int | None,
) -> tuple[int | None, str]:
    """The number of heads and who tells it: attention kernels are matrices in Keras."""
    if model:
        return model.num_heads, "model_config"
    if given:
        return given, "--num_heads"
    widths = [shape[-1] for name, shape in shapes.items() if "LayerNorm_" in name and shape]
    width = max(set(widths), key=widths.count, default=0)
    for variant in VARIANTS:
        known = sizes(variant)
        if known["hidden_size"] == width:
            return known["num_heads"], f"a width of {width}, as in ViT-{variant.partition('/')[0]}"
    return fallback, "the model to be initialised"


def _misfits(
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    description: ModelDescription,
) -> list[str]:
    """What is missing, unexpected or mis-shaped, under Keras' names."""
    layout = _layout(description)
    expected = {name for _, _, name, _ in layout}
    problems = [f"unexpected: {names[n]} {s}" for n, s in shapes.items() if n not in expected]
    for _, keras, name, shape in layout:
        if name not in shapes:
            problems.append(f"missing: {keras} {shape}")
        elif shapes[name] != shape:
            problems.append(f"mis-shaped: {names[name]}: expected {shape}, found {shapes[name]}")
    return problems


def _other_activations(names: Mapping[str, str], model: KerasModel) -> list[str]:
    problems = []
    for layer, known in _ACTIVATIONS.items():
        keras = names.get(f"{layer}/kernel", "").split("/")[-2:-1]
        found = model.activations.get(keras[0]) if keras else None
        if found is not None and found not in known:
            problems.append(f"activation of {keras[0]}: expected {known[0]}, found {found}")
    return problems


def _contradictions(
    d: ModelDescription,
    model: KerasModel,
    num_heads: int | None,
    image_size: tuple[int, int] | None,
    mask: tuple[float, ...] | None,
) -> None:
    """Raises UserError where a hint is not what `model_config` tells."""
    for flag, given, told in (
        ("num_heads", num_heads, model.num_heads),
        ("image_size", image_size, d.image_size),
        ("mask", mask, model.mask),
    ):
        same = given == told or (flag == "mask" and told and _float32(given) == _float32(told))
        if given is not None and not same:
            raise UserError(f"--{flag}={given} contradicts the file, which has {told}")


def _float32(values: Sequence[float] | None) -> bytes:
    return np.asarray(values, np.float32).tobytes()


def _describe(
    d: ModelDescription,
    model: KerasModel | None,
    masked: bool,
    heads_source: str,
    mask: tuple[float, ...] | None,
    input_range: tuple[float, float] | None,
) -> Described:
    kind = "Keras .h5 of vit-keras, " + ("whole model" if model else "weights alone")
    height, width = d.image_size
    size_source = "model_config" if model and model.image_size else f"{d.num_positions - 1} positions"
    derived = [
        f"sizes and patch from shapes; {d.num_layers} blocks",
        f"image size {height}x{width} from {size_source}",
    ]
    assumed = ["exact GELU in the blocks and LayerNorm epsilon 1e-6, as in vit-keras"]
    told = heads_source in ("model_config", "--num_heads")
    (derived if told else assumed).append(f"{d.num_heads} heads from {heads_source}")
    if d.head_hidden:
        assumed.append("tanh GELU in the head, as in tensorflow-addons")
    if d.classes:
        assumed.append(f"classes {', '.join(d.classes)} for three outputs")
    if input_range is None:
        assumed.append("input range [-1, 1]; --input_range=0,1 for the published ViT-B/32")
    if masked:
        kind += ", k-fold: probabilities are masked"
    d = d.replace(
        output_mask=model.mask if model else mask, input_range=input_range or d.input_range
    )
    unknown = ("output_mask",) if masked and d.output_mask is None else ()
    return Described(kind, d, tuple(derived), tuple(assumed), unknown)


def write(path: str | os.PathLike[str], params: Params, description: ModelDescription) -> None:
    """Writes weights alone, which `load_weights` of the original's Keras model takes.

    Raises:
      UserError: the file would not tell something that the model's outputs depend on.
    """
    refuse_loss(description, _kept(description), "a Keras .h5 of weights")
    flat = google_npz.to_disk_names(trees.flatten(jax.tree.map(np.asarray, params)))
    with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        layers: dict[str, list[str]] = {}
        for layer, keras, name, shape in _layout(description):
            file[f"{layer}/{keras}"] = flat[name].astype(np.float32).reshape(shape)
            layers.setdefault(layer, []).append(keras)
        layers_and_top = {**layers, "top_level_model_weights": []}
        for layer, names in layers_and_top.items():
            file.require_group(layer).attrs["weight_names"] = names
        file.attrs["layer_names"] = list(layers)
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION


def _kept(d: ModelDescription) -> ModelDescription:
    """What a reader of such a file takes a model for; heads and image size can be told to it."""
    return d.replace(
        gelu="exact",
        layer_norm_epsilon=keras_config.EPSILON,
        class_token=True,
        pooling="cls",
        classes=ModelDescription.classes if d.num_classes == len(ModelDescription.classes) else (),
        input_range=ModelDescription.input_range,
        pixel_mode=ModelDescription.pixel_mode,
        dtype=ModelDescription.dtype,
        output_mask=None,
        calibration=None,
    )


def _layout(d: ModelDescription) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """Layer, name in it, released name and shape in Keras of each array.

    The order is that of vit-keras' layers, by which Keras assigns what it loads.
    """
    shapes = {
        name: value.shape
        for name, value in google_npz.to_disk_names(trees.flatten(abstract_params(d))).items()
    }
    backbone = ["embedding/kernel", "embedding/bias", "class_token/cls"]
    backbone.append("Transformer/posembed_input/pos_embedding")
    attention = "MultiHeadDotProductAttention_1"
    for layer in range(d.num_layers):
        for part, kinds in (
            *((f"{attention}/{name}", "kernel bias") for name in ("query", "key", "value", "out")),
            *((f"Dense_{number}", "kernel bias") for number in (0, 1)),
            *((f"LayerNorm_{number}", "gamma beta") for number in (0, 2)),
        ):
            backbone += [f"Transformer/encoderblock_{layer}/{part}/{k}" for k in kinds.split()]
    backbone += ["Transformer/encoder_norm/gamma", "Transformer/encoder_norm/beta"]
    if d.representation_size:
        backbone += ["pre_logits/kernel", "pre_logits/bias"]
    rows = [(_model_name(d), f"{name}:0", _released_name(name)) for name in backbone]
    heads = ("head_hidden", "head_out") if d.head_hidden else ("head",) if d.num_classes else ()
    for layer, head in zip(("dense", "dense_1"), heads, strict=False):
        rows += [(layer, f"{layer}/{k}:0", f"{head}/{k}") for k in ("kernel", "bias")]

    def keras_shape(name: str) -> tuple[int, ...]:
        """Attention kernels are matrices in Keras."""
        if attention in name:
            return (d.hidden_size,) * (2 if name.endswith("kernel") else 1)
        return shapes[name]

    return [(layer, keras, name, keras_shape(name)) for layer, keras, name in rows]


def _released_name(end: str) -> str | None:
    """The released name of an array whose name in Keras ends so, without its `:0`."""
    for pattern, name in _TO_RELEASED:
        if match := re.fullmatch(f"(?:.*/)?{pattern}", end):
            return match.expand(name)
    return None


def _model_name(d: ModelDescription) -> str:
    """As vit-keras calls it: `vit-b16`; `vit` where the sizes are not of a known variant."""
    for name in VARIANTS:
        if all(getattr(d, field) == value for field, value in sizes(name).items()):
            return f"vit-{name.replace('/', '').lower()}"
    return "vit"
