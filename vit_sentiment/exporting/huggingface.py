"""Hugging Face folders: written as the converter does it, with a card that tells what differs.

transformers resizes photos in its own way. How far that moves the probabilities is measured here.
"""

import pathlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

from checkpoints import huggingface as layout
from input_pipeline import pixels
from vit_sentiment.exporting import effect
from vit_sentiment.exporting.checking import Run
from vit_sentiment.inference.model import Model
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import in_transformers
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

CARD_FILE = "README.md"
BATCH = 8


def processor_pixels(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Uint8 [*size, 3]: what transformers' ViTImageProcessorPil makes of uint8 [h, w, 3].

    Pillow's bilinear resize, which averages where it shrinks; the values are scaled to the input
    range afterwards, as ours are. Its ViTImageProcessor, on torchvision, rounds some values to the
    next grey level.
    """
    height, width = size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def resizing_effect(
    description: ModelDescription, ours: Run, theirs: Run, images: Iterable[np.ndarray]
) -> str:
    """Tells how far the answers on uint8 photos [h, w, 3] move with the processor's resizing.

    Args:
      ours: the model as it computes here, which gets the pixels of its own mode.
      theirs: the same in float32, as in transformers, which gets the processor's.

    Raises:
      UserError: there are no images.
    """
    size = description.image_size
    output = "probs" if description.num_classes else "features"
    resize = pixels.RESIZE[description.pixel_mode]
    resized = [(resize(image, size), processor_pixels(image, size)) for image in images]
    if not resized:
        raise UserError("--data: no photo in it is readable")

    def answers(run: Run, which: int) -> np.ndarray:
        parts = []
        for start in range(0, len(resized), BATCH):
            batch = np.stack([pair[which] for pair in resized[start : start + BATCH]])
            parts.append(run(batch.astype(np.float32))[output])
        return np.concatenate(parts)

    found = effect.compare(answers(ours, 0), answers(theirs, 1))
    what = "probabilities" if description.num_classes else "features"
    why = "resizing" if description.dtype == "float32" else "resizing and float32"
    verb = "changes" if description.dtype == "float32" else "change"
    text = (
        f"over {len(resized)} photos its {why} {verb} {what} by {found['mean']:.2g} on "
        f"average and {found['largest']:.2g} at most"
    )
    if description.num_classes:
        text += f", and the label of {found['changed']:.1%}"
    return text


def write_card(folder: pathlib.Path, model: Model, measured: str) -> None:
    """Writes the README.md of a folder.

    Args:
      measured: what the resizing does, as text.
    """
    d = model.description
    title = "ViT photo sentiment" if d.num_classes else "ViT backbone"
    height, width = d.image_size
    low, high = d.input_range
    classes = ", ".join(d.classes) or f"{d.num_classes} without names"
    text = f"""---
library_name: transformers
pipeline_tag: {"image-classification" if d.num_classes else "image-feature-extraction"}
---

# {title}

Weights `{model.model_id}`: {d.num_layers} layers of width {d.hidden_size}, patches of
{d.patch_size}, input {height}x{width}, pixels from {low:g} to {high:g}{_ending(d, classes)}

{_usage(d)}

{in_transformers.section(d, measured)}
"""
    files.write_text(folder / CARD_FILE, text)


def _ending(d: ModelDescription, classes: str) -> str:
    return f"; classes {classes}." if d.num_classes else "; no head."


def _usage(d: ModelDescription) -> str:
    if d.head_hidden:
        return (
            "transformers has no model with the two-layer head: it reads the backbone (`ViTModel`, "
            "features are the class token of `last_hidden_state`), and the head is in "
            f"`{layout.HEAD_FILE}`, linear layers `head_hidden` and `head_out` with a tanh GELU "
            "between them. vit_sentiment reads it all."
        )
    kind = "ViTForImageClassification" if d.num_classes else "ViTModel"
    result = "model(**inputs).last_hidden_state[:, 0]"
    if d.num_classes:
        result = in_transformers.probabilities(d, "model(**inputs).logits")
    return f"""```python
from PIL import Image
from transformers import {kind}, ViTImageProcessor
processor, model = (c.from_pretrained(".") for c in (ViTImageProcessor, {kind}))
inputs = processor(Image.open("photo.jpg").convert("RGB"), return_tensors="pt")
print({result})
```"""
