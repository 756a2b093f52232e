"""Runs `python -m MODULE ...` many times in processes that need not import jax & co. anew.

  python tests/documented/zygote.py

Reads a JSON object a line: `words` behind `python`, `cwd`, `env`, `stdin`, `stdout` and `stderr`
(files), and `waits`: whether the answer is the exit status, or at once the process's number, of
which a later {"process": NUMBER} asks the exit status. A command gets a fork of this process, which
has imported what takes long, and has neither started a thread nor touched a device.
"""

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import pathlib
import re
import runpy
import sys
import traceback
from unittest import mock

ROOT = pathlib.Path(__file__).parents[2]
HEAVY = (
    *("jax", "jax.numpy", "flax.linen", "optax", "orbax.checkpoint", "grain.python"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "scipy.stats"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_svg", "cv2", "h5py", "tensorboardX"),
    *("ml_collections.config_flags", "rich.console", "rich.progress", "tensorflow_datasets"),
)
THREADED = ("polars", "pyarrow", "onnx", "onnxruntime")
"""Packages that start threads when they are imported, which each command does by itself."""
WITH_FLAGS = re.compile(r"^    startup\.run|flags\.DEFINE", flags=re.M)
"""In modules that define flags, which only a command that has them may import."""

LONGEST_SECONDS = 150


class Refusing:
    """A finder of modules that finds no threaded one."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in THREADED:
            raise ImportError(f"{name} starts threads")


def run(words, env, cwd, stdin, stdout, stderr):
    """As `python WORDS` in a new process; does not return."""
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(env)
    os.chdir(cwd)
    faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
    code = 2
    try:
        if words[0] == "-m":
            sys.path[0], sys.argv = os.getcwd(), words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0], sys.argv = os.path.dirname(words[0]), words
            runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # What is left of threads, as of grain's, ends with the process.


def import_most():
    """What commands import, but for what a fork would break."""
    for module in HEAVY:
        importlib.import_module(module)
    sys.meta_path.insert(0, Refusing())
    for package in ("checkpoints", "input_pipeline", "vit_sentiment"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if not WITH_FLAGS.search(file.read_text()):
                name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
                with contextlib.suppress(ImportError):  # It is threaded, or for another Python.
                    importlib.import_module(name.removesuffix(".__init__"))
    del sys.meta_path[0]


def warm_up():
    """Fills caches of tracing and of fonts, which last as long as a process."""
    import jax
    import jax.numpy as jnp
    from matplotlib import pyplot as plt

    from vit_sentiment.models.classifier import Classifier
    from vit_sentiment.models.description import ModelDescription
    from vit_sentiment.reporting.svg import STYLE, drawn

    sizes = {"patch_size": 8, "hidden_size": 48, "num_layers": 1, "num_heads": 4, "mlp_size": 96}
    model = Classifier(ModelDescription(image_size=(32, 32), **sizes))

    def loss(params, images):
        logits = model.apply({"params": params}, images)[1]
        return jax.nn.log_softmax(logits).mean()

    images = jax.ShapeDtypeStruct((16, 32, 32, 3), jnp.float32)
    with mock.patch.object(jax, "default_backend", return_value="cpu"):  # It would start threads.
        key = jax.eval_shape(lambda: jax.random.key(0))
        params = jax.eval_shape(lambda key, images: model.init(key, images)["params"], key, images)
        jax.eval_shape(jax.grad(loss), params, images)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        axes.plot([0, 1], [0.5, 2], label="warm")
        axes.legend()
        drawn(figure, "Warm")


def main():
    import_most()
    warm_up()
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, "a fork would lose the other threads, and keep their locks"
    gc.collect()
    gc.freeze()  # Commands need not look for garbage in what they got, nor copy its pages.
    gc.set_threshold(100_000, 50, 50)
    for line in sys.stdin:
        asked = json.loads(line)
        waits = asked.pop("waits", True)
        child = asked.get("process") or os.fork()
        if child == 0:
            run(**asked)
        answer = child
        if waits:
            _, status = os.waitpid(child, 0)
            answer = os.waitstatus_to_exitcode(status)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
