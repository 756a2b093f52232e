"""Each format: written, read back, compared with our outputs, and only then given its name."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoints import google_npz, trees
from checkpoints import huggingface as layout
from checkpoints.described import with_step
from input_pipeline.sources import Source
from vit_sentiment.evaluation import judge
from vit_sentiment.exporting import (
    checking,
    effect,
    huggingface,
    onnx_file,
    placing,
    samples,
    stablehlo,
)
from vit_sentiment.inference.model import Model, load
from vit_sentiment.reporting.terminal import print_table
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import card_sections

MOST = {"onnx": 1e-4, "stablehlo": 1e-6, "huggingface": 1e-5}
"""Largest difference from our outputs."""
CHECKED = 8
"""Photos that each export is checked on."""
RESIZED = 256
"""Photos of a dataset that the effect of resizing is measured on."""
RESIZED_DRAWN = 24


@dataclasses.dataclass(frozen=True)
class Options:
    """Where to write, and what to check on.

    Attributes:
      out: a file or a new folder.
      source: photos to check on; drawn ones without it.
      int8: of ONNX, also a file with int8 weights.
      label: what accuracy is of; None for human labels where there are any.
      batch_size: photos at a time, where accuracy is measured.
      on_error: `fail` or `skip` unreadable photos.
    """

    out: pathlib.Path
    source: Source | None = None
    int8: bool = False
    label: str | None = None
    batch_size: int = 8
    on_error: str = "fail"


def write_onnx(model: Model, options: Options) -> None:
    """Writes `out`, with `int8` a second file, and prints their differences and accuracy."""
    model, source = _in_float32(model), options.source
    if source is not None and model.description.num_classes:
        judge.check_classes(model, source)
    out = options.out
    with placing.together(out, onnx_file.names(out)) as path:
        onnx_file.write(path, model)
        runs = {"ours": checking.ours(model), "onnxruntime float32": onnx_file.load(path, model)}
        pixels = _pixels(model, options)
        float32 = runs["onnxruntime float32"]
        found = checking.check(model, float32, pixels, (1, 2, 5), MOST["onnx"], str(out))
        lines = [_wrote(out, path, found, "onnxruntime on batches of 1, 2 and 5")]
        if options.int8:
            quantised = onnx_file.int8_path(path)
            onnx_file.quantise(path, quantised)
            runs["onnxruntime int8"] = onnx_file.load(quantised, model)
            lines.append(f"wrote {onnx_file.int8_path(out)} ({_megabytes(quantised)})")
        rows = []
        if source is not None and model.description.num_classes:
            label = options.label or judge.default_label(source)
            told = {"batch_size": options.batch_size, "on_error": options.on_error}
            rows, count = effect.on_data(model.description, runs, source, label, **told)
            lines.append(f"{source.name} {source.split}, {count} photos against {label}:")
        elif options.int8:
            lines.append(_int8_effect(model, runs, pixels))
    print(*lines, sep="\n")
    if rows:
        header = ["", "accuracy", "mean difference of probabilities", "largest", "labels changed"]
        print_table(header, [[name, *row.values()] for name, row in rows.items()])


def _int8_effect(model: Model, runs: Mapping[str, checking.Run], pixels: np.ndarray) -> str:
    output = "probs" if model.description.num_classes else "features"
    exact, int8 = (runs[name](pixels)[output] for name in ("ours", "onnxruntime int8"))
    found = effect.compare(exact, int8)
    return (
        f"int8 changes the {output} of {len(pixels)} photos by {found['mean']:.2g} on average and "
        f"{found['largest']:.2g} at most; that says nothing of accuracy, which --data tells of a "
        "model with a head"
    )


def write_stablehlo(model: Model, options: Options) -> None:
    """Writes a new folder, see `stablehlo`, and prints its differences and how to run it."""
    model, out = _in_float32(model), options.out
    with placing.together(out, [out]) as path:
        stablehlo.write(path, model)
        run, pixels = stablehlo.load(path), _pixels(model, options)
        found = checking.check(model, run, pixels, (1, 3), MOST["stablehlo"], str(out))
        text = _wrote(out, path, found, "the program read back, on batches of 1 and 3,")
    print(text)
    print(f"for {', '.join(stablehlo.PLATFORMS)}; to run it with jax and numpy alone:\n")
    print(stablehlo.example(str(out), model.description))


def write_huggingface(model: Model, options: Options) -> None:
    """Writes a new folder with a card, and prints its differences and those of resizing.

    Raises:
      UserError: the layout cannot hold the model, see `checkpoints.huggingface.write`.
    """
    out, source = options.out, options.source
    with placing.together(out, [out]) as path:
        layout.write(path, model.params, with_step(model.description, None))
        back, pixels = load(path), _pixels(model, options)
        run = checking.ours(back)
        found = checking.check(model, run, pixels, (2, 3), MOST["huggingface"], str(out))
        count = RESIZED if source else RESIZED_DRAWN
        images = samples.photos(source, count, options.on_error)
        theirs = checking.ours(checking.in_float32(back))
        measured = huggingface.resizing_effect(model.description, run, theirs, images)
        # A card goes to others, and they have nothing of the folders of this machine.
        name = card_sections.name(source.name) if source else ""
        of = f"{name} {source.split}".strip() if source else "drawn pictures"
        measured = f"Of {of}: {measured}."
        huggingface.write_card(path, model, measured)
        text = _wrote(out, path, found, "our reader on equal pixel values")
    print(text)
    print(f"transformers' image processor makes other pixel values. {measured}")


def write_npz(model: Model, options: Options) -> None:
    """Writes `out` in Google's layout and its description, and reads both back."""
    description, out = with_step(model.description, None), options.out
    with placing.together(out, [out, google_npz.description_path(out)]) as path:
        google_npz.write(path, model.params, description)
        back = load(path)
        wanted, found = trees.flatten(model.params), trees.flatten(back.params)
        for name, value in wanted.items():
            if np.asarray(value).tobytes() != found[name].tobytes():
                raise UserError(f"{out}: not kept, since {name} is not what was written")
        if back.description != description:
            raise UserError(f"{out}: not kept, since its description is not what was written")
        size = _megabytes(path)
    print(f"wrote {out} ({size}); read back, {len(wanted)} arrays are equal bit for bit")


WRITERS = {
    "onnx": write_onnx,
    "stablehlo": write_stablehlo,
    "huggingface": write_huggingface,
    "npz": write_npz,
}


def _in_float32(model: Model) -> Model:
    if model.description.dtype == "float32":
        return model
    say(f"{model.source} computes in {model.description.dtype}; what is exported does in float32")
    return checking.in_float32(model)


def _pixels(model: Model, options: Options) -> np.ndarray:
    images = samples.photos(options.source, CHECKED, options.on_error)
    return samples.to_pixels(model.description, images)


def _megabytes(path: pathlib.Path) -> str:
    """Of a folder, or of a file and what lies beside it under a longer name."""
    files = path.iterdir() if path.is_dir() else path.parent.iterdir()
    names = [file for file in files if path.is_dir() or file.name.startswith(path.name)]
    return f"{sum(file.stat().st_size for file in names) / 1e6:,.1f} MB"


def _wrote(out: pathlib.Path, path: pathlib.Path, found: Mapping[str, Any], by: str) -> str:
    differences = ", ".join(f"{name} {value:.2g}" for name, value in found.items())
    return f"wrote {out} ({_megabytes(path)}); {by} differs from ours by at most: {differences}"
