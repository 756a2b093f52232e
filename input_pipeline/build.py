"""Writes a dataset of photos: ArrayRecord under TFDS, read by train and evaluate.

  python -m input_pipeline.build --name=mine --split=train=train.csv \\
      --split=validation=val.csv --split=test=test.csv
  python -m input_pipeline.build --builder=demo_tweets --count=1000

The builders: `labelled_images` reads CSV, TSV or Parquet with columns path and label, or a folder
with a folder for each class; `demo_tweets` draws tweets whose photos and texts mostly agree;
`mvsa_single` reads the public MVSA-Single release; `benchmark` packs a benchmark of the original
system (T4SA 2.0) from its dataset/ tree, and `t4sa` one of its training sets, with the lists' own
parts or split anew.
"""

import re

from absl import flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

BUILDERS = ("labelled_images", "demo_tweets", "mvsa_single", "benchmark", "t4sa")

BUILDER = flags.DEFINE_enum("builder", "labelled_images", BUILDERS, "What to build.")
NAME = flags.DEFINE_string(
    "name",
    None,
    "Name of the dataset among those of its builder (default: that of the benchmark or T4SA set, "
    "else default).",
)
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Folder of all datasets.")
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable rows: fail at the first, or skip and list."
)

SPLIT = flags.DEFINE_multi_string("split", [], "SPLIT=TABLE or SPLIT=FOLDER; once for each split.")
IMAGES = flags.DEFINE_string(
    "images", None, "Folder that paths in a table are relative to (default: the table's or tree's)."
)
PATH_COLUMN = flags.DEFINE_string("path_column", "path", "Column of paths.")
LABEL_COLUMN = flags.DEFINE_string(
    "label_column", "", "Column of labels (default: label or class)."
)
ID_COLUMN = flags.DEFINE_string("id_column", "", "Ids (default: the path).")
GROUP_COLUMN = flags.DEFINE_string(
    "group_column", "", "What splits must not part (default: tweet id, or id)."
)
CLASSES = flags.DEFINE_list(
    "classes", ["negative", "neutral", "positive"], "Class names in label order."
)
LABELS_OF = flags.DEFINE_enum("labels_of", "human", ["human", "teacher"], "Who gave the labels.")

COUNT = flags.DEFINE_integer("count", 1000, "How many.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "The tweets are a function of it.")
SIZE = flags.DEFINE_integer("size", 32, "Side of the photos.", lower_bound=16)
NOISE = flags.DEFINE_float(
    "noise",
    0.3,
    "Share of the texts whose mood is drawn at random.",
    lower_bound=0.0,
    upper_bound=1.0,
)
CONFUSION = flags.DEFINE_string(
    "confusion",
    None,
    "Instead of --noise, the shares of negative/neutral/positive texts by the mood of "
    "the face, as .59/.33/.08,.22/.49/.29,.10/.39/.51.",
)
SHUFFLE_TEXTS = flags.DEFINE_bool(
    "shuffle_texts", False, "Permute texts against photos, as a control."
)

RELEASE = flags.DEFINE_string("release", None, "Folder of the unpacked release.")

ROOT = flags.DEFINE_string("root", "dataset", "benchmark, t4sa: the original's dataset/ folder.")
BENCHMARK = flags.DEFINE_string(
    "benchmark", None, "benchmark: which, as 5agree, FI_split_1 or t4sa/bal:test."
)
CONFIG = flags.DEFINE_string(
    "config", None, "t4sa: which set, as bal, merged or b_t4sa_1_0_upd_filt."
)
SPLIT_BY = flags.DEFINE_enum(
    "split_by",
    "given",
    ["given", "image", "tweet"],
    "t4sa: the lists' own parts; or 80/10/10 anew by image, as the original did it, or by tweet, "
    "so that no tweet is in two parts and merged trains on nothing that B-T4SA holds out.",
)
SPLIT_SEED = flags.DEFINE_integer("split_seed", 42, "t4sa: of a split by image or tweet.")

GROUPS = {
    "Dataset": (BUILDER, NAME, DATA_DIR, ON_ERROR, IMAGES),
    "labelled_images": (
        SPLIT,
        PATH_COLUMN,
        LABEL_COLUMN,
        ID_COLUMN,
        GROUP_COLUMN,
        CLASSES,
        LABELS_OF,
    ),
    "demo_tweets": (COUNT, SEED, SIZE, NOISE, CONFUSION, SHUFFLE_TEXTS),
    "mvsa_single": (RELEASE,),
    "benchmark and t4sa": (ROOT, BENCHMARK, CONFIG, SPLIT_BY, SPLIT_SEED),
}


def main() -> None:
    from input_pipeline.builder import prepare
    from vit_sentiment.reporting import manifest

    make = {
        "labelled_images": _labelled_images,
        "demo_tweets": _demo_tweets,
        "mvsa_single": _mvsa_single,
        "benchmark": _benchmark,
        "t4sa": _t4sa,
    }[BUILDER.value]
    builder = make()
    folder = prepare(builder)
    facts = {"builder": BUILDER.value}
    if BUILDER.value == "t4sa":
        facts |= {"split_by": SPLIT_BY.value, "split_seed": SPLIT_SEED.value}
    manifest.write(folder, facts)
    for split in builder.info.splits.values():
        print(f"{folder} {split.name}: {split.num_examples} photos")


def _labelled_images():
    from input_pipeline.labelled_images import labelled_images_dataset_builder as module
    from input_pipeline.tables import Columns

    pairs = [_split(text) for text in SPLIT.value]
    splits = dict(pairs)
    if not splits:
        raise UserError("--split: expected at least one SPLIT=TABLE or SPLIT=FOLDER")
    if len(splits) < len(pairs):
        names = [name for name, _ in pairs]
        raise UserError(f"--split: {max(names, key=names.count)!r} is given twice")
    config = module.LabelledImagesConfig(
        name=NAME.value or "default",
        splits=splits,
        images=IMAGES.value,
        columns=Columns(PATH_COLUMN.value, LABEL_COLUMN.value, ID_COLUMN.value, GROUP_COLUMN.value),
        classes=tuple(CLASSES.value),
        teacher=LABELS_OF.value == "teacher",
        on_error=ON_ERROR.value,
    )
    return module.LabelledImages(config=config, data_dir=DATA_DIR.value)


def _split(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UserError(f"--split: expected SPLIT=TABLE or SPLIT=FOLDER, found {text!r}")
    if not re.fullmatch(r"[a-z]\w*", name) or name == "all":  # TFDS reserves `all`.
        raise UserError(f"--split: {name!r} is not a split's name; try train, validation or test")
    return name, path


def _demo_tweets():
    from input_pipeline.demo_tweets import demo_tweets_dataset_builder as module

    config = module.DemoTweetsConfig(
        name=NAME.value or "default",
        count=COUNT.value,
        seed=SEED.value,
        size=SIZE.value,
        noise=NOISE.value,
        confusion=_confusion(),
        shuffle_texts=SHUFFLE_TEXTS.value,
    )
    return module.DemoTweets(config=config, data_dir=DATA_DIR.value)


def _confusion() -> tuple[tuple[float, ...], ...]:
    if CONFUSION.value is None:
        return ()
    if NOISE.present:
        raise UserError("--noise and --confusion do not go together")
    from input_pipeline.demo_tweets.confusion import parse

    try:
        return parse(CONFUSION.value)
    except UserError as error:
        raise UserError(f"--confusion: {error}") from error


def _mvsa_single():
    from input_pipeline.mvsa_single import mvsa_single_dataset_builder as module

    if RELEASE.value is None:
        raise UserError("--release: expected the folder of the unpacked MVSA-Single release")
    config = module.MvsaSingleConfig(
        name=NAME.value or "default", release=RELEASE.value, on_error=ON_ERROR.value
    )
    return module.MvsaSingle(config=config, data_dir=DATA_DIR.value)


def _benchmark():
    from input_pipeline import benchmarks
    from input_pipeline.benchmark import benchmark_dataset_builder as module

    if BENCHMARK.value is None:
        raise UserError(f"--benchmark: expected one of: {', '.join(benchmarks.names())}")
    config = module.BenchmarkConfig(
        name=NAME.value or module.config_name(BENCHMARK.value),
        benchmark=BENCHMARK.value,
        root=ROOT.value,
        images=IMAGES.value,
        on_error=ON_ERROR.value,
    )
    return module.Benchmark(config=config, data_dir=DATA_DIR.value)


def _t4sa():
    from input_pipeline.original_tree import T4SA
    from input_pipeline.t4sa import t4sa_dataset_builder as module

    if CONFIG.value not in T4SA:
        raise UserError(f"--config: expected one of {', '.join(T4SA)}; found {CONFIG.value!r}")
    config = module.T4saConfig(
        name=NAME.value or module.config_name(CONFIG.value, SPLIT_BY.value),
        listed=CONFIG.value,
        root=ROOT.value,
        images=IMAGES.value,
        split_by=SPLIT_BY.value,
        seed=SPLIT_SEED.value,
        on_error=ON_ERROR.value,
    )
    return module.T4sa(config=config, data_dir=DATA_DIR.value)


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
