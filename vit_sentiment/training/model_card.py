"""The card of a model: Markdown in the style of the Hugging Face hub, from files in the workdir.

The one rule: a card is a function of what lies in the workdir, and is made again by every command
that adds to it: `train` at its end and at a stop, `evaluate` and `calibrate` of the workdir. So
edits are lost; `checkpoints.convert` makes it once more, as README.md of a folder to be published.
"""

import dataclasses
import pathlib
from typing import Any

from checkpoints import google_npz, orbax_store
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import in_transformers, manifest, markdown
from vit_sentiment.runtime import files
from vit_sentiment.training import card_sections, run_facts
from vit_sentiment.training import workdir as workdirs

FILE = "MODEL_CARD.md"
HUB_FILE = "README.md"

_USE = """\
For research on how photos and the tone of texts go together, and for sums over many photos. The
output is three probabilities: what tone a text that is posted with such a photo would have, as far
as the labels tell."""
_LIMITS = """\
- It does not tell what the people in a photo feel, nor how its author was, nor whether a photo is
  true, good or allowed.
- Labels came from texts or from crowds: their errors, language, year and irony are in the model.
- It was not tested for differences between groups of people, and is to be expected to have some.
- No decisions about persons: not on hiring, insurance, credit, policing, moderation, health or
  school. No photos of people, children above all, who would not expect it.
- Weights may keep traces of training photos. If photos are deleted from the dataset, train again.

The whole page is `docs/ethics.md` of vit_sentiment."""


@dataclasses.dataclass(frozen=True)
class Published:
    """The folder that a card goes to, where that is not the workdir of the run.

    Attributes:
      folder: how commands name it.
      license: an identifier of the Hugging Face hub.
      model_id, step: of the weights in it.
      transformers: the class that loads it, or None.
    """

    folder: str
    license: str
    model_id: str
    step: int | None
    transformers: str | None


def write(workdir: pathlib.Path) -> None:
    """Writes MODEL_CARD.md into a workdir; nothing where a conversion made it, and no run."""
    if run_facts.is_run(workdir):
        files.write_text(workdir / FILE, card(workdir))


def card(workdir: pathlib.Path, published: Published | None = None) -> str:
    """The card of the best weights of a run, or of those in the folder that is `published`."""
    found = run_facts.read(workdir)
    saved = files.read_json(workdir / orbax_store.DESCRIPTION_FILE)
    description = ModelDescription.from_json(saved, str(workdir))
    model_id = published.model_id if published else _best_id(workdir)
    results = card_sections.evaluations(workdir, model_id)
    head = {
        **_head(published),
        "base_model": pathlib.PurePath(found.config["init_from"]).name,
        "datasets": [card_sections.name(found.made["train"]["name"])],
        "metrics": ["accuracy", "f1"],
        "model-index": card_sections.index(results),
    }
    sections = [
        _what(description, model_id, published),
        markdown.section("What for", _USE),
        markdown.section("Limits and ethics", _LIMITS),
        card_sections.data(found),
        card_sections.training(found, workdir),
        card_sections.results(results),
        card_sections.calibration(workdir, description),
        _how_to_use(published, found),
        _in_transformers(description, published),
        card_sections.made(found.made),
    ]
    return markdown.document(markdown.front_matter(head), _title(description), sections)


def workdir_of(source: str, model_id: str) -> pathlib.Path | None:
    """The workdir of the run that weights come from: named itself, or by its `best.npz`."""
    path = pathlib.Path(source)
    if run_facts.is_run(path):
        return path
    beside = path.name == workdirs.BEST_FILE and run_facts.is_run(path.parent)
    return path.parent if beside and _best_id(path.parent) == model_id else None


def card_of_weights(description: ModelDescription, source: str, published: Published) -> str:
    """The card of weights that are not in the workdir of a run: nobody knows how they were made."""
    sections = [
        _what(description, published.model_id, published),
        f"Converted from `{card_sections.name(source)}`. How it was trained, and on what, is not "
        "known here.",
        markdown.section("What for", _USE),
        markdown.section("Limits and ethics", _LIMITS),
        _how_to_use(published, None),
        _in_transformers(description, published),
        card_sections.made(manifest.surroundings()),
    ]
    return markdown.document(markdown.front_matter(_head(published)), _title(description), sections)


def _head(published: Published | None) -> dict[str, Any]:
    return {
        "license": published.license if published else "unknown",
        "library_name": "transformers" if published and published.transformers else None,
        "pipeline_tag": "image-classification",
        "tags": ["image-sentiment", "vision-transformer", "jax", "vit_sentiment"],
    }


def _title(description: ModelDescription) -> str:
    return f"Sentiment of photos: ViT, width {description.hidden_size}"


def _best_id(workdir: pathlib.Path) -> str | None:
    path = google_npz.description_path(workdir / workdirs.BEST_FILE)
    return files.read_json(path).get("model_id") if path.exists() else None


def _what(d: ModelDescription, model_id: str | None, published: Published | None) -> str:
    height, width = d.image_size
    parameters = (
        f"A Vision Transformer that tells from a photo alone how likely it is {_or(d.classes)}: "
        f"{d.num_layers} block(s) of width {d.hidden_size}, patches of {d.patch_size}, photos of "
        f"{height} by {width} pixels in [{d.input_range[0]:g}, {d.input_range[1]:g}], read in the "
        f"mode `{d.pixel_mode}`."
    )
    step = f", step {published.step:,}" if published and published.step is not None else ""
    return parameters + (f"\n\nWeights: `{model_id}`{step}." if model_id else "")


def _or(classes: tuple[str, ...]) -> str:
    *most, last = classes or ("of each class",)
    return f"{', '.join(most)} or {last}" if most else last


def _how_to_use(published: Published | None, found: run_facts.Found | None) -> str:
    name = published.folder if published else "WORKDIR"
    data = card_sections.name(found.made["train"]["name"]) if found else "DATA"
    flag = "weights" if published else "workdir"
    python = f'```python\nimport vit_sentiment\n\nmodel = vit_sentiment.load("{name}")\n```'
    other = ""
    if published and published.transformers:
        kind = published.transformers
        other = f"```python\nimport transformers\n\nmodel = transformers.{kind}.from_pretrained("
        other += f'"{name}")\n```'
    return markdown.section(
        "How to use",
        markdown.commands(
            f"python -m vit_sentiment.predict --model={name} photo.jpg",
            f"python -m vit_sentiment.evaluate --{flag}={name} --data={data}",
        ),
        python,
        other,
    )


def _in_transformers(description: ModelDescription, published: Published | None) -> str:
    if published is None or published.transformers is None:
        return ""
    measuring = markdown.commands(
        f"python -m vit_sentiment.export --model={published.folder} --format=huggingface "
        "--out=measured --data=DATA"
    )
    return in_transformers.section(description, f"How much that changes is told by\n\n{measuring}")
