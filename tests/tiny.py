"""Small datasets, runs and models that several tests share; each is made once a session."""

import concurrent.futures
import dataclasses
import functools
import pathlib
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
import polars as pl
import tiny_config

from input_pipeline.builder import prepare
from input_pipeline.demo_tweets.demo_tweets_dataset_builder import DemoTweets, DemoTweetsConfig
from input_pipeline.sources import open_source
from vit_sentiment.distillation import writing
from vit_sentiment.distillation.written_shard import ROWS
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
    return write({s: map(change, source.records()) for s, source in sources.items()}, folder)


@dataclasses.dataclass(frozen=True)
class Images:
    """Encoded photos in memory, as `distill` reads them."""

    images: list[bytes]

    def __len__(self):
        return len(self.images)

    def read(self, number):
        return self.images[number]

    def take(self, numbers):
        return Images([self.images[number] for number in numbers])


def write(parts, folder):
    """Writes records by split as `distill` does; gives the folder."""
    images, tables = [], {}
    for split, records in parts.items():
        rows = []
        for r in records:
            labels = *r.teacher_probs.tolist(), r.teacher_label, r.human_label
            rows.append((r.id, r.group, r.group, *labels, len(images)))
            images.append(r.image)
        tables[split] = pl.DataFrame(rows, ROWS, orient="row")
    writing.write(tables, Images(images), folder)
    return folder


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
    return write({split: open_source(str(data), split).records()}, folder)
