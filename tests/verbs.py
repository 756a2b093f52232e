"""Verbs in this process, since each start of jax takes seconds.

Flags are the process's, and verbs have flags of the same names, some of them required. So those of
a verb are there only while it runs.
"""

import contextlib
import functools
import importlib

import pytest
from absl import flags
from absl.testing import flagsaver

from checkpoints import weight_flags  # noqa: F401 (Its flags are those of several verbs.)
from vit_sentiment.runtime import startup

_SHARED = dict(flags.FLAGS._flags())


@functools.cache
def _loaded(name):
    """A verb's module, and the flags that are its own."""
    with _only(_SHARED):
        module = importlib.import_module(name)
        own = {k: v for k, v in flags.FLAGS._flags().items() if k not in _SHARED}
    return module, own


@contextlib.contextmanager
def _only(wanted):
    """These are all the flags that there are."""
    registered = flags.FLAGS._flags()
    before = dict(registered)
    registered.clear()
    registered.update(wanted)
    try:
        yield
    finally:
        registered.clear()
        registered.update(before)


def load(name):
    """The module of a verb, such as `checkpoints.convert`."""
    return _loaded(name)[0]


@contextlib.contextmanager
def flags_of(name):
    """The verb's flags are there, and as they were afterwards."""
    with _only(_SHARED | _loaded(name)[1]), flagsaver.flagsaver():
        yield


def run(name, *words, arguments=()):
    """The exit code of `python -m NAME WORDS...`."""
    module = load(name)
    with pytest.MonkeyPatch.context() as patch, flags_of(name):
        patch.setattr("sys.argv", [name, *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            startup.run(module.main, module.__doc__, arguments=arguments)
    return exit_.value.code
