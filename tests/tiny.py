"""Small datasets, runs and models that several tests share; each is made once a session."""

import concurrent.futures
import functools
import pathlib
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
import tiny_config

from input_pipeline.builder import prepare
from input_pipeline.demo_tweets.demo_tweets_dataset_builder import DemoTweets, DemoTweetsConfig
from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
from input_pipeline.sources import open_source
from vit_sentiment.training import run as training_run
from vit_sentiment.training.stopping import stop_requests

CONFIG_FILE = pathlib.Path(tiny_config.__file__)

# Programs are compiled once for all runs, in this process and in those that it starts.
_COMPILED = tempfile.TemporaryDirectory(prefix="xla_")
ENV = {
    "JAX_COMPILATION_CACHE_DIR": _COMPILED.name,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
jax.config.update("jax_compilation_cache_dir", _COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def once(make):
    """Keeps the first result of a function for all later calls."""
    made = []

    @functools.wraps(make)
    def get(*args):
        if not made:
            made.append(make(*args))
        return made[0]

    return get


@once
def tweets(tmp_path_factory):
    """Folder of 200 drawn tweets with texts."""
    config = DemoTweetsConfig(name="tiny", count=200)
    return prepare(DemoTweets(config=config, data_dir=tmp_path_factory.mktemp("tweets")))


DRAWN = ("--config.duplicates.method=none", "--config.filter.min_words=0")
"""What `distill` needs to be told of drawn tweets: faces look alike, and texts are short."""


@once
def distilled(tmp_path_factory, run):
    """Folder that the command `distill` wrote from `tweets`: 160, 20 and 20 photos."""
    folder = tmp_path_factory.mktemp("distilled") / "data"
    done = run(
        "vit_sentiment.distill",
        f"--tweets={tweets(tmp_path_factory)}",
        f"--out={folder}",
        *DRAWN,
        env=ENV,
    )
    assert done.returncode == 0, done.stderr
    return folder


def train(config, workdir):
    """Trains as the command does, signals included; whether the run is complete."""
    with stop_requests() as should_stop:
        return training_run.train(config, workdir, should_stop)


@once
def trained(tmp_path_factory, run):
    """Workdir of a complete run on `distilled`."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    assert train(config(distilled(tmp_path_factory, run)), workdir)
    return workdir


def config(data, **changes):
    """The tiny config on a dataset; `changes` are `section__field=value`."""
    value = tiny_config.get_config()
    value.data.train = str(data)
    value.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return value


def rewrite(data, folder, change):
    """A copy of a distilled dataset in which `change` has replaced each record."""
    sources = {split: open_source(str(data), split) for split in ("train", "validation", "test")}
    builder = DistilledTweets(
        splits={
            split: (len(source), functools.partial(map, change, source.records()))
            for split, source in sources.items()
        },
        data_dir=folder,
    )
    return prepare(builder)


def latest_step(workdir):
    """The number of the latest checkpoint."""
    return max(int(path.name) for path in (workdir / "checkpoints").iterdir())


def saved(workdir, step=None):
    """All arrays of a checkpoint, by path; read by Orbax itself."""
    folder = (
        workdir.absolute() / "checkpoints" / str(latest_step(workdir) if step is None else step)
    )
    arrays = {}
    with ocp.StandardCheckpointer() as reader:
        for item in ("params", "train"):
            leaves = jax.tree_util.tree_leaves_with_path(reader.restore(folder / item))
            arrays |= {item + jax.tree_util.keystr(path): _host(leaf) for path, leaf in leaves}
    return arrays


def _host(array):
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return np.asarray(array)


def assert_identical(found, expected):
    """Two dicts of arrays are equal bit for bit."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].tobytes() == value.tobytes(), name


def together(calls):
    """Runs functions side by side, as many as there are cores here; name to result."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
    return {name: future.result() for name, future in futures.items()}


def only_split(data, folder, split):
    """A copy of one split of a distilled dataset, as a dataset with a single split."""
    source = open_source(str(data), split)
    return prepare(DistilledTweets(splits={split: (len(source), source.records)}, data_dir=folder))
