"""Writes a model in a format that other programs run, and proves that it computes the same.

  python -m vit_sentiment.export --model=runs/demo/train --format=onnx --out=model.onnx --int8 \\
      --data=runs/demo/data/distilled
  python -m vit_sentiment.export --model=model.npz --format=huggingface --out=exported

The formats, what --out is and what is checked before the output gets its name:
  onnx         FILE.onnx, FILE.int8.onnx beside it with --int8, FILE.onnx.data above 2 GiB;
               equal to ours within 1e-4 in onnxruntime (pip install onnx onnxruntime)
  stablehlo    a folder: program, weights and description; equal within 1e-6, read back by JAX
  huggingface  a folder, as `checkpoints.convert` writes it, with a card; equal within 1e-5, read
               back; the difference that transformers' own resizing makes is measured
  npz          FILE.npz in Google's layout, FILE.json beside it; read back bit for bit

ONNX and StableHLO take one photo or any number, `pixels` float32 [batch, height, width, 3], RGB
from 0 to 255, and give `probs`, `logits` and `features`. They compute in float32; int8 files choose
the scale of activations for each batch, so that a photo's output depends a little on the others.
--data is what `evaluate` takes; its photos are what is checked on, instead of drawn ones, and ONNX'
accuracy on them is told. Nothing that exists is overwritten.
"""

import pathlib

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

MODEL = flags.DEFINE_string(
    "model", None, "Workdir, weight file, Hugging Face folder or public name.", required=True
)
FORMAT = flags.DEFINE_enum(
    "format", None, ["onnx", "stablehlo", "huggingface", "npz"], "What to write.", required=True
)
OUT = flags.DEFINE_string(
    "out", None, "FILE.onnx, FILE.npz, or a new folder for the others.", required=True
)
INT8 = flags.DEFINE_bool("int8", False, "onnx: also write FILE.int8.onnx, with int8 weights.")
DATA = flags.DEFINE_string("data", None, "Dataset, table or folder of photos to check on.")
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Where datasets are found by name.")
SPLIT = flags.DEFINE_string("split", None, "Split of a dataset (default: test, or the only one).")
IMAGES = flags.DEFINE_string("images", None, "Folder that a table's paths are relative to.")
LABEL = flags.DEFINE_enum(
    "label",
    None,
    ["human_label", "teacher_label"],
    "What accuracy is of (default: human_label where there are any).",
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos at a time.", lower_bound=1)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or leave out."
)
flags.adopt_module_key_flags(weight_flags)

OF_DATA = (DATA, DATA_DIR, SPLIT, IMAGES, LABEL, BATCH_SIZE, ON_ERROR)
GROUPS = {
    "Model": (
        MODEL,
        *weight_flags.GROUP,
    ),
    "Output": (FORMAT, OUT, INT8),
    "Photos to check on": OF_DATA,
}

SUFFIXES = {"onnx": ".onnx", "npz": ".npz"}


def main() -> None:
    _check_flags()

    from vit_sentiment.exporting import verified
    from vit_sentiment.inference.model import load
    from vit_sentiment.runtime import accelerator

    if FORMAT.value == "onnx":
        from vit_sentiment.exporting.onnx_file import packages

        packages()  # Their lack is told before the weights are read.
    accelerator.prepare()
    model = load(MODEL.value, **weight_flags.hints())
    options = verified.Options(
        out=pathlib.Path(OUT.value),
        source=_open(model),
        int8=INT8.value,
        label=LABEL.value,
        batch_size=BATCH_SIZE.value,
        on_error=ON_ERROR.value,
    )
    verified.WRITERS[FORMAT.value](model, options)


def _check_flags() -> None:
    kind, suffix = FORMAT.value, SUFFIXES.get(FORMAT.value)
    if suffix and not OUT.value.endswith(suffix):
        raise UserError(f"--out={OUT.value}: expected a name that ends in {suffix}")
    if INT8.value and kind != "onnx":
        raise UserError(f"--int8 does not go with --format={kind}; it goes with onnx")
    given = [flag.name for flag in OF_DATA if flag.present]
    if given and kind == "npz":
        raise UserError(f"--{given[0]} does not go with --format=npz, which needs no photos")
    if given and DATA.value is None:
        raise UserError(f"--{given[0]} goes with --data")


def _open(model):
    """The photos to check on; None without --data."""
    if DATA.value is None:
        return None
    from input_pipeline.problems import Problems
    from input_pipeline.records import CLASSES
    from input_pipeline.sources import choose_split, open_source

    return open_source(
        DATA.value,
        choose_split(DATA.value, SPLIT.value, "test", DATA_DIR.value),
        data_dir=DATA_DIR.value,
        images=IMAGES.value,
        classes=model.description.classes or CLASSES,
        problems=Problems(ON_ERROR.value),
    )


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
