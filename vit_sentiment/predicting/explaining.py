"""Figures of where a model looks, one for each photo."""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from vit_sentiment.inference import photos
from vit_sentiment.inference.explanation import PREDICTED, explain
from vit_sentiment.inference.model import Model
from vit_sentiment.inference.photos import Photo
from vit_sentiment.inference.predictions import Prediction
from vit_sentiment.reporting import heat_map
from vit_sentiment.runtime.errors import UserError

_LONGEST = 200
"""Bytes of a photo's name in that of its figure: file systems end at 255, and it gets longer."""

Draw = Callable[[Photo, Prediction], None]


def figures(model: Model, folder: str) -> Draw:
    """A function that writes a figure of a photo into the folder, numbered as they come.

    The maps are for the label, or for the most probable class where the model abstains.

    Raises:
      UserError: the folder holds something already.
    """
    place = pathlib.Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"--explain={folder}: expected a new or empty folder")
    place.mkdir(parents=True, exist_ok=True)
    run, classes = explain(model), model.description.classes
    count = 0

    def draw(photo: Photo, found: Prediction) -> None:
        nonlocal count
        pixels = photos.load(photo, model.description)
        wanted = classes.index(found.label) if found.label in classes else PREDICTED
        explanation = run(pixels[None], np.array([wanted]))
        maps = {method: maps[0] for method, maps in explanation.maps.items()}
        count += 1
        name = pathlib.Path(found.path).stem if isinstance(photo, str) else "photo"
        while len(os.fsencode(name)) > _LONGEST:
            name = name[:-1]
        # A map that is 0 everywhere would look like one of what it shows least.
        flat = [f"{method}: no patch speaks for it" for method in maps if not maps[method].any()]
        title = "\n".join([_title(found), *flat])
        heat_map.write_figure(place / f"{count:05d}-{name}.png", photos.decode(photo), maps, title)

    return draw


def _title(found: Prediction) -> str:
    # A figure has no letters for bytes that are not UTF-8.
    name = os.fsencode(pathlib.Path(found.path).name).decode(errors="replace")
    if found.label is None:
        return f"{name}: no label, confidence {found.confidence:.2f}"
    return f"{name}: {found.label}, {found.probs[found.label]:.2f}"
