"""Runs `python -m MODULE ...` many times in processes that need not import jax & co. anew.

  python tests/documented/zygote.py

Reads a JSON object a line: `words` behind `python`, `cwd`, `env`, `stdout` and `stderr` (files).
Answers each with the exit status. A command gets a fork of this process, which has imported what
takes long, and has neither started a thread nor touched a device.
"""

import faulthandler
import importlib
import json
import os
import runpy
import sys
import traceback

HEAVY = (
    *("jax", "jax.numpy", "flax.linen", "optax", "orbax.checkpoint", "grain.python"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "scipy.stats"),
    *("matplotlib.pyplot", "cv2", "h5py", "ml_collections.config_flags", "rich.console"),
)
"""Without polars and pyarrow, which start threads when they are imported."""

LONGEST_SECONDS = 150


def run(words, env, cwd, stdout, stderr):
    """As `python WORDS` in a new process; does not return."""
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
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


def main():
    for module in HEAVY:
        importlib.import_module(module)
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, "a fork would lose the other threads, and keep their locks"
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run(**asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
