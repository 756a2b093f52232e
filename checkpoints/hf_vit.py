"""ViT under Hugging Face's names (model type vit): ViTForImageClassification and ViTModel."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoints import key_map
from checkpoints.key_map import Rule
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

CLASSIFIER = "ViTForImageClassification"
BACKBONE = "ViTModel"

_LAYER = "encoder.layer.{}."
_BLOCK = "Transformer/encoderblock_{}/"
_ATTENTION = f"{_BLOCK}MultiHeadDotProductAttention_0/"


def _linear(theirs: str, ours: str, kernel: str = "dense", bias: str = "same") -> list[tuple]:
    return [
        (f"{theirs}.weight", f"{ours}/kernel", kernel),
        (f"{theirs}.bias", f"{ours}/bias", bias),
    ]


def _norm(theirs: str, ours: str) -> list[tuple]:
    return [
        (f"{theirs}.weight", f"{ours}/scale", "same"),
        (f"{theirs}.bias", f"{ours}/bias", "same"),
    ]


_TABLE = [
    ("embeddings.cls_token", "cls", "same"),
    ("embeddings.position_embeddings", "Transformer/posembed_input/pos_embedding", "same"),
    *_linear("embeddings.patch_embeddings.projection", "embedding", "conv"),
    *(
        row
        for name in ("query", "key", "value")
        for row in _linear(
            f"{_LAYER}attention.attention.{name}", f"{_ATTENTION}{name}", "to_heads", "to_heads"
        )
    ),
    *_linear(f"{_LAYER}attention.output.dense", f"{_ATTENTION}out", "from_heads"),
    *_norm(f"{_LAYER}layernorm_before", f"{_BLOCK}LayerNorm_0"),
    *_norm(f"{_LAYER}layernorm_after", f"{_BLOCK}LayerNorm_1"),
    *_linear(f"{_LAYER}intermediate.dense", f"{_BLOCK}MlpBlock_0/Dense_0"),
    *_linear(f"{_LAYER}output.dense", f"{_BLOCK}MlpBlock_0/Dense_1"),
    *_norm("layernorm", "Transformer/encoder_norm"),
    *_linear("classifier", "head"),
    *_linear("head_hidden", "head_hidden"),
    *_linear("head_out", "head_out"),
]
"""Their name, ours and the change of shape; `{}` is the number of a block."""

RULES = [
    Rule(
        re.escape(theirs).replace(r"\{\}", r"(\d+)"),
        ours.replace("{}", r"\1"),
        getattr(key_map, change),
    )
    for theirs, ours, change in _TABLE
]

_BACK = {
    "same": lambda value: value,
    "dense": lambda value: value.T,
    "conv": lambda value: value.transpose(3, 2, 0, 1),
    "to_heads": lambda value: value.reshape(*value.shape[:-2], -1).T,
    "from_heads": lambda value: value.reshape(-1, value.shape[-1]).T,
}
"""From our shapes to theirs, by the change that leads to ours."""

_GELUS = {"gelu": "exact", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}

# The defaults of transformers' ViTConfig, which its config.json may leave out.
_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "layer_norm_eps": 1e-12,
    "num_channels": 3,
    "qkv_bias": True,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "head_hidden": None,
}


def describe(config: Mapping[str, Any]) -> ModelDescription:
    """The description that a `config.json` tells; `head_hidden` is our field, for our own head."""
    c = {**_DEFAULTS, **config}
    classifier = c.get("architectures") == [CLASSIFIER]
    if not classifier and c.get("architectures") != [BACKBONE]:
        found = c.get("architectures")
        raise UserError(f"architectures: expected {CLASSIFIER} or {BACKBONE}, found {found}")
    if c["num_channels"] != 3 or not c["qkv_bias"]:
        raise UserError("expected num_channels 3 and qkv_bias true")
    names: tuple[str, ...] = ()
    if classifier or c["head_hidden"]:
        names = tuple(c["id2label"][str(i)] for i in range(len(c["id2label"])))
    height, width = _pair(c["image_size"])
    patch, other = _pair(c["patch_size"])
    if patch != other:
        raise UserError(f"patch_size: expected square patches, found {c['patch_size']}")
    named = any(label != f"LABEL_{i}" for i, label in enumerate(names))
    return ModelDescription(
        image_size=(height, width),
        patch_size=patch,
        hidden_size=c["hidden_size"],
        num_layers=c["num_hidden_layers"],
        num_heads=c["num_attention_heads"],
        mlp_size=c["intermediate_size"],
        gelu=_GELUS.get(c["hidden_act"], c["hidden_act"]),
        layer_norm_epsilon=c["layer_norm_eps"],
        dropout=c["hidden_dropout_prob"],
        head_hidden=c["head_hidden"],
        num_classes=len(names),
        classes=names if named else (),
    )


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, list) else (value, value)


def image_tower(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that the rules are for, without prefix; the pooler of a ViTModel is left out.

    It is a layer of its own behind the class token, which our features are.
    """
    names = {name: name.removeprefix("vit.") for name in flat}
    return {names[k]: v for k, v in flat.items() if not names[k].startswith("pooler.")}


def labels(d: ModelDescription) -> tuple[str, ...]:
    """Names of the classes, transformers' own where nobody knows them."""
    return d.classes or tuple(f"LABEL_{i}" for i in range(d.num_classes))


def to_config(d: ModelDescription) -> dict[str, Any]:
    """The `config.json` of a model with a linear head, our two-layer head or none."""
    names = labels(d)
    height, width = d.image_size
    config = {
        "architectures": [CLASSIFIER if d.num_classes and not d.head_hidden else BACKBONE],
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": {"exact": "gelu", "tanh": "gelu_pytorch_tanh"}[d.gelu],
        "hidden_dropout_prob": d.dropout,
        "hidden_size": d.hidden_size,
        "image_size": height if height == width else [height, width],
        "intermediate_size": d.mlp_size,
        "layer_norm_eps": d.layer_norm_epsilon,
        "model_type": "vit",
        "num_attention_heads": d.num_heads,
        "num_channels": 3,
        "num_hidden_layers": d.num_layers,
        "patch_size": d.patch_size,
        "qkv_bias": True,
    }
    if names:
        config["id2label"] = {str(i): label for i, label in enumerate(names)}
        config["label2id"] = {label: i for i, label in enumerate(names)}
    if d.head_hidden:
        config["head_hidden"] = d.head_hidden
    return config


def to_arrays(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our names and shapes to theirs, without prefix."""
    back = [
        (re.compile(ours.replace("{}", r"(\d+)")), theirs.replace("{}", r"\1"), _BACK[change])
        for theirs, ours, change in _TABLE
    ]
    arrays = {}
    for name, value in flat.items():
        ((match, theirs, change),) = (
            (match, theirs, change)
            for pattern, theirs, change in back
            if (match := pattern.fullmatch(name))
        )
        array = change(np.asarray(value, np.float32))
        arrays[match.expand(theirs)] = np.ascontiguousarray(array)
    return arrays
