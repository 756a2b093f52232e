"""Text classifiers in Hugging Face folders: RoBERTa and XLM-R for sequence classification."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from checkpoints import huggingface, key_map, trees
from checkpoints.key_map import Rule
from input_pipeline.records import CLASSES
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.roberta import TextDescription, abstract_params
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

MODEL_TYPES = ("roberta", "xlm-roberta")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")

_LAYER = r"roberta\.encoder\.layer\.(\d+)\."
_BLOCK = r"layer_\1/"
_UNUSED = re.compile(r"roberta\.(pooler\..*|embeddings\.position_ids)|lm_head\..*")
"""What checkpoints carry beside a classifier: transformers leaves it out as well."""


def _linear(
    theirs: str, ours: str, kernel: key_map.Change = key_map.dense, bias: Any = key_map.same
) -> list[Rule]:
    return [
        Rule(rf"{theirs}\.weight", f"{ours}/kernel", kernel),
        Rule(rf"{theirs}\.bias", f"{ours}/bias", bias),
    ]


def _norm(theirs: str, ours: str) -> list[Rule]:
    return [
        Rule(rf"{theirs}\.weight", f"{ours}/scale"),
        Rule(rf"{theirs}\.bias", f"{ours}/bias"),
    ]


RULES = [
    Rule(r"roberta\.embeddings\.(\w+_embeddings)\.weight", r"\1/embedding"),
    *_norm(r"roberta\.embeddings\.LayerNorm", "embeddings_norm"),
    *(
        rule
        for name in ("query", "key", "value")
        for rule in _linear(
            rf"{_LAYER}attention\.self\.{name}",
            f"{_BLOCK}{name}",
            key_map.to_heads,
            key_map.to_heads,
        )
    ),
    *_linear(rf"{_LAYER}attention\.output\.dense", f"{_BLOCK}out", key_map.from_heads),
    *_norm(rf"{_LAYER}attention\.output\.LayerNorm", f"{_BLOCK}LayerNorm_0"),
    *_linear(rf"{_LAYER}intermediate\.dense", f"{_BLOCK}Dense_0"),
    *_linear(rf"{_LAYER}output\.dense", f"{_BLOCK}Dense_1"),
    *_norm(rf"{_LAYER}output\.LayerNorm", f"{_BLOCK}LayerNorm_1"),
    *_linear(r"classifier\.dense", "head_dense"),
    *_linear(r"classifier\.out_proj", "head_out"),
]

_GELUS = {"gelu": "exact", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}


def read(folder: pathlib.Path) -> tuple[TextDescription, Params]:
    """Reads `config.json` and `model.safetensors` of a folder.

    Raises:
      UserError: a file is missing or damaged, the weights are pickled, or the model is another.
    """
    path = folder / huggingface.CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{folder}: expected a Hugging Face folder with {path.name}")
    config = files.read_json(path)
    try:
        description = describe(config)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path}: not the config of a text classifier: {error!r}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    _refuse_pickled(folder)
    arrays = huggingface.read_arrays(folder)
    arrays = {name: value for name, value in arrays.items() if not _UNUSED.fullmatch(name)}
    flat = key_map.translate(arrays, RULES, description)
    trees.check(flat, trees.flatten(abstract_params(description)), str(folder))
    return description, trees.unflatten(flat)


def describe(config: Mapping[str, Any]) -> TextDescription:
    """What `config.json` says of its model; what it leaves out has transformers' defaults."""
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise UserError(f"model_type {kind!r}; known are {', '.join(MODEL_TYPES)}")
    activation = config.get("hidden_act", "gelu")
    if activation not in _GELUS:
        raise UserError(f"hidden_act {activation!r}; known are {', '.join(_GELUS)}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise UserError(f"position_embedding_type {config['position_embedding_type']!r}")
    width, heads = config.get("hidden_size", 768), config.get("num_attention_heads", 12)
    if width % heads:
        raise UserError(f"hidden_size {width} is not a multiple of {heads} heads")
    return TextDescription(
        vocab_size=config["vocab_size"],
        max_positions=config.get("max_position_embeddings", 512),
        token_types=config.get("type_vocab_size", 2),
        hidden_size=width,
        num_layers=config.get("num_hidden_layers", 12),
        num_heads=heads,
        mlp_size=config.get("intermediate_size", 3072),
        pad_id=config.get("pad_token_id", 1),
        classes=_classes(config.get("id2label") or {}),
        gelu=_GELUS[activation],
        # The defaults of transformers' RobertaConfig and XLMRobertaConfig.
        layer_norm_epsilon=config.get("layer_norm_eps", 1e-12),
    )


def _classes(id2label: Mapping[str, str]) -> tuple[str, ...]:
    """Our names of the classes in the order of the logits; NEG, Neutral and the like will do."""
    given = [id2label[key] for key in sorted(id2label, key=int)]
    names = {name[:3].upper(): name for name in CLASSES}
    classes = tuple(names.get(label.upper()[:3], label) for label in given)
    if sorted(classes) != sorted(CLASSES):
        raise UserError(
            f"id2label: expected {', '.join(CLASSES)} in the order of the logits, found "
            f"{', '.join(given) or 'nothing'}; name them there"
        )
    return classes


def _refuse_pickled(folder: pathlib.Path) -> None:
    if any((folder / name).exists() for name in (huggingface.WEIGHTS_FILE, huggingface.INDEX_FILE)):
        return
    if any((folder / name).exists() for name in PICKLED):
        raise UserError(
            f"{folder}: its weights are pickled, and never loaded; "
            f"{how_to_convert(str(folder), str(folder))}"
        )


def how_to_convert(name: str, folder: str) -> str:
    """What to do about pickled weights: a line for a Python that has transformers."""
    return (
        "convert them where transformers is installed: AutoModelForSequenceClassification"
        f".from_pretrained({name!r}).save_pretrained({folder!r})"
    )
