"""Names of arrays in vit-keras' files and in Google's releases, which have the same arrays.

Arrays are matched by the end of their name, since what comes before depends on how the model was
nested: `Transformer/encoderblock_0/...` of vit-keras 0.1, `Transformer_encoderblock_0/...` of 0.2
(source: vit-keras, layers.py and vit.py; Keras, legacy_h5_format.py).
"""

import re
from collections.abc import Mapping

import h5py

from checkpoints import google_npz, trees
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.models.description import VARIANTS, ModelDescription, sizes

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


def released(arrays: Mapping[str, h5py.Dataset]) -> tuple[dict[str, str], list[str]]:
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
        kernels = [
            arrays[dense[n]["kernel"]].shape for n in (first, second) if "kernel" in dense[n]
        ]
        return len(kernels) == 2 and kernels[0][-1] == kernels[1][0]

    if not fits(*names) and fits(*reversed(names)):
        names.reverse()
    return dict(zip(names, ("head_hidden", "head_out"), strict=True))


def misfits(
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    description: ModelDescription,
) -> list[str]:
    """What is missing, unexpected or mis-shaped, under Keras' names."""
    rows = layout(description)
    expected = {name for _, _, name, _ in rows}
    problems = [f"unexpected: {names[n]} {s}" for n, s in shapes.items() if n not in expected]
    for _, keras, name, shape in rows:
        if name not in shapes:
            problems.append(f"missing: {keras} {shape}")
        elif shapes[name] != shape:
            problems.append(f"mis-shaped: {names[name]}: expected {shape}, found {shapes[name]}")
    return problems


def layout(d: ModelDescription) -> list[tuple[str, str, str, tuple[int, ...]]]:
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
