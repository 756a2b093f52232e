"""SigLIP's image tower under Hugging Face's names (model types siglip, siglip_vision_model).

Another family is a file like this one: a description from its config, and a key map.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoints import key_map
from checkpoints.key_map import Rule
from vit_sentiment.models.description import ModelDescription

_LAYER = r"encoder\.layers\.(\d+)\."
_BLOCK = r"Transformer/encoderblock_\1/"
_ATTENTION = "MultiHeadDotProductAttention_0"
_POOLING = r"head\."


def _linear(pattern: str, name: str) -> list[Rule]:
    return [
        Rule(pattern + r"\.weight", f"{name}/kernel", key_map.dense),
        Rule(pattern + r"\.bias", f"{name}/bias"),
    ]


def _norm(pattern: str, name: str) -> list[Rule]:
    return [Rule(pattern + r"\.weight", f"{name}/scale"), Rule(pattern + r"\.bias", f"{name}/bias")]


RULES = [
    Rule(r"embeddings\.patch_embedding\.weight", "embedding/kernel", key_map.conv),
    Rule(r"embeddings\.patch_embedding\.bias", "embedding/bias"),
    Rule(
        r"embeddings\.position_embedding\.weight",
        "Transformer/posembed_input/pos_embedding",
        lambda value, d: value[None],
    ),
    *_norm(_LAYER + "layer_norm1", f"{_BLOCK}LayerNorm_0"),
    *_norm(_LAYER + "layer_norm2", f"{_BLOCK}LayerNorm_1"),
    *_linear(_LAYER + r"mlp\.fc1", f"{_BLOCK}MlpBlock_0/Dense_0"),
    *_linear(_LAYER + r"mlp\.fc2", f"{_BLOCK}MlpBlock_0/Dense_1"),
    *(
        Rule(
            rf"{_LAYER}self_attn\.{letter}_proj\.{theirs}",
            f"{_BLOCK}{_ATTENTION}/{name}/{ours}",
            key_map.to_heads,
        )
        for letter, name in (("q", "query"), ("k", "key"), ("v", "value"))
        for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
    ),
    Rule(
        _LAYER + r"self_attn\.out_proj\.weight",
        f"{_BLOCK}{_ATTENTION}/out/kernel",
        key_map.from_heads,
    ),
    Rule(_LAYER + r"self_attn\.out_proj\.bias", f"{_BLOCK}{_ATTENTION}/out/bias"),
    *_norm(r"post_layernorm", "Transformer/encoder_norm"),
    Rule(_POOLING + "probe", "MAPHead_0/probe"),
    *(
        Rule(
            rf"{_POOLING}attention\.in_proj_{theirs}",
            f"MAPHead_0/{_ATTENTION}/{name}/{ours}",
            key_map.third(number),
        )
        for number, name in enumerate(("query", "key", "value"))
        for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
    ),
    Rule(
        _POOLING + r"attention\.out_proj\.weight",
        f"MAPHead_0/{_ATTENTION}/out/kernel",
        key_map.from_heads,
    ),
    Rule(_POOLING + r"attention\.out_proj\.bias", f"MAPHead_0/{_ATTENTION}/out/bias"),
    *_norm(_POOLING + "layernorm", "MAPHead_0/LayerNorm_0"),
    *_linear(_POOLING + r"mlp\.fc1", "MAPHead_0/MlpBlock_0/Dense_0"),
    *_linear(_POOLING + r"mlp\.fc2", "MAPHead_0/MlpBlock_0/Dense_1"),
]

_GELUS = {"gelu_pytorch_tanh": "tanh", "gelu": "exact"}

# The defaults of transformers' SiglipVisionConfig, which its config.json may leave out.
_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}


def describe(config: Mapping[str, Any]) -> ModelDescription:
    """The description of the image tower that a `config.json` tells of; it has no head."""
    c = {**_DEFAULTS, **config.get("vision_config", config)}
    # 384 pixels and patches of 14 in one release: pixels that fill no patch are never looked at.
    side = c["image_size"] // c["patch_size"] * c["patch_size"]
    return ModelDescription(
        image_size=(side, side),
        patch_size=c["patch_size"],
        hidden_size=c["hidden_size"],
        num_layers=c["num_hidden_layers"],
        num_heads=c["num_attention_heads"],
        mlp_size=c["intermediate_size"],
        gelu=_GELUS.get(c["hidden_act"], c["hidden_act"]),
        layer_norm_epsilon=c["layer_norm_eps"],
        class_token=False,
        pooling="map",
        num_classes=0,
        classes=(),
    )


def image_tower(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that the rules are for: the text tower and the loss's scalars are left out.

    transformers 5 saves a `SiglipVisionModel` without the prefix that all else has.
    """
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in flat) else ""
    return {name.removeprefix(prefix): v for name, v in flat.items() if name.startswith(prefix)}
