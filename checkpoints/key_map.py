"""Reading another family of models: rules from its names and shapes to ours.

A family is a list of rules and a function that makes a model description; see docs/backbones.md.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from checkpoints import trees
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.models.roberta import TextDescription

Description = ModelDescription | TextDescription
Change = Callable[[np.ndarray, Description], np.ndarray]


def same(value: np.ndarray, d: Description) -> np.ndarray:
    """Vectors: biases, scales."""
    del d
    return value


def dense(value: np.ndarray, d: Description) -> np.ndarray:
    """PyTorch's linear kernel [out, in] to ours [in, out]."""
    del d
    return value.T


def conv(value: np.ndarray, d: Description) -> np.ndarray:
    """PyTorch's convolution [out, in, H, W] to ours [H, W, in, out]."""
    del d
    return value.transpose(2, 3, 1, 0)


def to_heads(value: np.ndarray, d: Description) -> np.ndarray:
    """Kernel [D, D] or bias [D] of query, key or value to [D, heads, E] or [heads, E]."""
    return value.T.reshape(*value.shape[1:], d.num_heads, -1)


def from_heads(value: np.ndarray, d: Description) -> np.ndarray:
    """Kernel [D, D] of the output of attention to [heads, E, D]."""
    return value.T.reshape(d.num_heads, -1, value.shape[0])


def third(number: int) -> Change:
    """Query (0), key (1) or value (2) of a kernel [3D, D] or bias [3D] that holds all three."""
    return lambda value, d: to_heads(np.split(value, 3)[number], d)


@dataclasses.dataclass(frozen=True)
class Rule:
    """Arrays whose name matches `pattern` become `name`; several rules may take from one array.

    Attributes:
      pattern: a regular expression for a whole foreign name.
      name: ours in memory, with `\\1` for the groups of the pattern.
      change: from the foreign shape to ours.
    """

    pattern: str
    name: str
    change: Change = same


def translate(
    flat: Mapping[str, np.ndarray], rules: Sequence[Rule], description: Description
) -> trees.Flat:
    """Foreign names and shapes to ours.

    An array that no rule takes keeps its name, one that a rule cannot change its shape: whoever
    compares the result with a model lists them with all else that does not fit.
    """
    translated: trees.Flat = {}
    for foreign, value in flat.items():
        matches = [(rule, re.fullmatch(rule.pattern, foreign)) for rule in rules]
        matches = [(rule, match) for rule, match in matches if match]
        if not matches:
            translated[foreign] = value
        for rule, match in matches:
            try:
                changed = rule.change(value, description)
            except (ValueError, IndexError):
                changed = value
            translated[match.expand(rule.name)] = np.asarray(changed, np.float32, order="C")
    return translated
