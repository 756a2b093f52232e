"""Writes a model in another format and proves that it still computes the same.

  python -m checkpoints.convert ViT_B32=ViT_B32.h5 ViT_B32.npz
  python -m checkpoints.convert imagenet21k+imagenet2012/ViT-B_32 vit-b32

The format is told by the name of OUT: .npz; .h5, the weights alone, for Keras; any other is a
Hugging Face folder, ViTForImageClassification for a linear head, ViTModel and head.safetensors for
the two-layer head, with the model's card as README.md. --to=orbax makes the workdir of a run with
one checkpoint.

IN is anything that `checkpoints.inspect` reads. OUT must not exist; it is loaded again and compared
with IN on 8 seeded images, and does not stay if a feature or probability differs by more than 1e-5.
What a format cannot hold is an error that says what and why.

Exit code 1 also means that OUT did not compute the same.
"""

import pathlib
import tempfile

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

TO = flags.DEFINE_enum(
    "to", None, ["npz", "h5", "huggingface", "orbax"], "Format of OUT; else told by its name."
)
LICENSE = flags.DEFINE_string(
    "license", "unknown", "Of a Hugging Face folder: what its card says, as the hub names licences."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": weight_flags.GROUP,
    "Results": (TO, LICENSE),
}

IMAGES = 8
TOLERANCE = 1e-5


def main(source: str, out: str) -> None:
    from checkpoints.google_npz import description_path
    from vit_sentiment.inference.model import load

    target = pathlib.Path(out)
    to = TO.value or {".npz": "npz", ".h5": "h5", ".hdf5": "h5"}.get(target.suffix, "huggingface")
    if to == "npz" and target.suffix != ".npz":
        raise UserError(f"{target}: expected a name that ends in .npz")
    parts = [description_path(target), target] if to == "npz" else [target]
    for path in parts:
        if path.exists():
            raise UserError(f"{path}: exists, and is not overwritten")
    model = load(source, **weight_flags.hints())
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        written = pathlib.Path(folder) / target.name
        hints = _write(to, written, model)
        differences = _compare(model, load(written, **hints), out)
        if to == "huggingface":
            _write_card(source, out, written, model)
        for path in parts:
            (written.parent / path.name).rename(path)
    print(f"wrote {out} ({to}); it differs from {source} by at most:")
    for name, value in differences.items():
        print(f"  {name}: {value:.2g}")
    if hints:
        print(f"reading it needs {' '.join(f'--{k}={_flag(v)}' for k, v in hints.items())}")


def _flag(value) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _write(to: str, path: pathlib.Path, model) -> dict:
    """Writes the model; what a reader must be told."""
    from checkpoints import google_npz, huggingface, keras_h5, orbax_store
    from checkpoints.described import with_step

    step = (model.step or 0) if to == "orbax" else None
    description = with_step(model.description, step)
    if to == "h5":
        return keras_h5.write(path, model.params, description)
    if to == "orbax":
        orbax_store.write_workdir(path, step, model.params, description)
    elif to == "huggingface":
        huggingface.write(path, model.params, description)
    else:
        google_npz.write(path, model.params, description)
    return {}


def _write_card(source: str, out: str, folder: pathlib.Path, model) -> None:
    """README.md: the card of the run that the weights come from, or what is known without one."""
    from checkpoints import huggingface
    from vit_sentiment.runtime import files
    from vit_sentiment.training import card_sections, model_card

    (kind,) = files.read_json(folder / huggingface.CONFIG_FILE)["architectures"]
    published = model_card.Published(
        folder=card_sections.name(out),
        license=LICENSE.value,
        model_id=model.model_id,
        step=model.step,
        transformers=kind,
    )
    workdir = model_card.workdir_of(source, model.model_id)
    if workdir is None:
        text = model_card.card_of_weights(model.description, source, published)
    else:
        text = model_card.card(workdir, published)
    files.write_text(folder / model_card.HUB_FILE, text)


def _compare(model, other, out: str) -> dict[str, float]:
    """Largest absolute difference of each output; raises UserError where one is too large."""
    import jax
    import numpy as np

    from vit_sentiment.inference.forward import outputs

    d = model.description
    images = np.random.default_rng(0).uniform(*d.input_range, (IMAGES, *d.image_size, 3))
    images = images.astype(np.float32)
    run = jax.jit(outputs, static_argnums=0)
    results = [run(m.description, jax.device_put(m.params), images) for m in (model, other)]
    differences = {
        name: float(np.max(np.abs(np.asarray(results[0][name]) - results[1][name])))
        for name in ("features", "probs")
        if name in results[0]
    }
    for name, value in differences.items():
        if not value <= TOLERANCE:  # NaN is no parity.
            raise UserError(f"{out}: not kept, since its {name} differ from IN's by {value:.2g}")
    return differences


if __name__ == "__main__":
    startup.run(main, __doc__, arguments=("IN", "OUT"), groups=GROUPS)
