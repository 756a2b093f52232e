"""The types that cross rooms, the class names and how other class systems map to polarity."""

import dataclasses
from collections.abc import Mapping
from typing import TypedDict

import numpy as np

CLASSES = ("negative", "neutral", "positive")
"""Order of the columns NEG, NEU, POS and of the logits."""

UNKNOWN = -1
"""The label of a record that has none."""

PIXEL_MODES = ("exact", "uint8")

POLARITY: Mapping[str, str] = {
    # FI (You et al., 2016), eight emotions.
    "amusement": "positive",
    "awe": "positive",
    "contentment": "positive",
    "excitement": "positive",
    "anger": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sadness": "negative",
    # EmotionROI (Peng et al., 2016), the two of its six that FI does not have.
    "joy": "positive",
    "surprise": "positive",
}
"""Emotion name to sentiment, as the benchmark files of the original system code them."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One photo as a dataset holds it.

    Attributes:
      image: the encoded file, byte for byte.
      id: tweet id and photo index, or the path within the table; unique in a dataset.
      group: what must not be parted by a split: the tweet, a cluster of duplicates.
      teacher_probs: float32 [C], all zero where there is no teacher.
      teacher_label: class index, or -1. Not always the argmax of `teacher_probs`: thresholds and
        ties are the teacher's own.
      human_label: class index, or -1.
      text: the tweet, in datasets that are still to be labelled; never in those a student reads.
      text_label: human label of the text alone, or -1.
    """

    image: bytes
    id: str
    group: str
    teacher_probs: np.ndarray
    teacher_label: int = UNKNOWN
    human_label: int = UNKNOWN
    text: str = ""
    text_label: int = UNKNOWN


class Batch(TypedDict):
    """What the grain graph yields; B rows, in the order of the data.

    `mask` is False where there is no image: padding (`index` -1) or a file that did not decode.
    """

    image: np.ndarray  # [B, H, W, 3] uint8 or float32, both 0..255
    label: np.ndarray  # [B] int32
    probs: np.ndarray  # [B, C] float32
    mask: np.ndarray  # [B] bool
    index: np.ndarray  # [B] int64


def no_teacher(num_classes: int) -> np.ndarray:
    """The `teacher_probs` of a record without a teacher: float32 zeros [num_classes]."""
    return np.zeros(num_classes, np.float32)
