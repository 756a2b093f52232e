"""ONNX files: written, quantised to int8, and run by onnxruntime."""

import contextlib
import json
import logging
import pathlib
import types
from collections.abc import Iterator

import jax
import numpy as np

import vit_sentiment
from input_pipeline.photos import cores
from vit_sentiment.exporting.checking import Run, output_names
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import count_parameters
from vit_sentiment.runtime.errors import UserError

MOST_BYTES = 2**31 - 2**20
"""Of parameters in one file: protobuf ends at 2 GiB, and the graph needs some itself."""


def packages() -> tuple[types.ModuleType, types.ModuleType]:
    """`onnx` and `onnxruntime`, which the requirements do not name.

    Raises:
      UserError: one of them is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "onnxruntime"):
            raise
        raise UserError(
            f"the package {error.name} is not installed: pip install onnx onnxruntime"
        ) from error
    return onnx, onnxruntime


def write(path: pathlib.Path, model: Model) -> None:
    """Writes the model, which must compute in float32, and proves the file well-formed.

    Parameters of more than 2 GiB go into a file of their own beside it, NAME.onnx.data.
    """
    onnx, _ = packages()
    from vit_sentiment.exporting import onnx_graph

    params = jax.tree.map(np.asarray, model.params)
    made = onnx_graph.make_model(model.description, params, _metadata(model))
    beside = 4 * count_parameters(params) > MOST_BYTES
    onnx.save_model(
        made,
        path,
        save_as_external_data=beside,
        location=f"{path.name}.data" if beside else None,
    )
    del made  # As many bytes as the parameters.
    onnx.checker.check_model(str(path), full_check=True)


def _metadata(model: Model) -> dict[str, str]:
    return {
        "description": json.dumps(model.description.to_json()),
        "classes": json.dumps(model.description.classes),
        "model_id": model.model_id,
        "version": vit_sentiment.__version__,
    }


def quantise(path: pathlib.Path, out: pathlib.Path) -> None:
    """Writes the model with int8 weights, and activations that are quantised as it runs.

    Each column of a matrix has a scale of its own; the patch embedding stays float32. One file:
    even of g/14 it is below protobuf's 2 GiB.
    """
    packages()
    from onnxruntime import quantization

    with _quiet():
        quantization.quantize_dynamic(
            path,
            out,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to run onnxruntime's shape inference, which such a graph does not need."""

    def keeps(record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(keeps)
    try:
        yield
    finally:
        root.removeFilter(keeps)


def load(path: pathlib.Path, model: Model) -> Run:
    """The file in onnxruntime on the CPU, with a thread for each core."""
    _, onnxruntime = packages()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 3  # Errors.
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = output_names(model)

    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        found = session.run(names, {"pixels": np.asarray(pixels, np.float32)})
        return dict(zip(names, found, strict=True))

    return run


def names(path: pathlib.Path) -> list[pathlib.Path]:
    """All files that an export to `path` may write."""
    return [path, path.with_name(f"{path.name}.data"), int8_path(path)]


def int8_path(path: pathlib.Path) -> pathlib.Path:
    """Where the int8 model of `path` is: NAME.int8.onnx beside NAME.onnx."""
    return path.with_suffix(f".int8{path.suffix}")
