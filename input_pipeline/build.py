"""Writes a dataset of photos: ArrayRecord under TFDS, read by train and evaluate.

  python -m input_pipeline.build --builder=labelled_images --name=mine \\
      --split=train=train.csv --split=validation=val.csv --split=test=test.csv
      CSV, TSV or Parquet with columns path and label; or a folder with a folder for each class
  python -m input_pipeline.build --builder=demo_tweets --count=1000
      draws tweets whose photos and texts mostly agree
  python -m input_pipeline.build --builder=mvsa_single --release=MVSA_Single
      reads the public MVSA-Single release
"""

import re

from absl import flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

BUILDERS = ("labelled_images", "demo_tweets", "mvsa_single")

BUILDER = flags.DEFINE_enum("builder", "labelled_images", BUILDERS, "What to build.")
NAME = flags.DEFINE_string("name", "default", "Name of the dataset among those of its builder.")
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Folder of all datasets.")
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable rows: fail at the first, or skip and list."
)

SPLIT = flags.DEFINE_multi_string(
    "split", [], "labelled_images: SPLIT=TABLE or SPLIT=FOLDER; once for each split."
)
IMAGES = flags.DEFINE_string(
    "images", None, "labelled_images: folder of the tables' paths (default: the table's own)."
)
PATH_COLUMN = flags.DEFINE_string("path_column", "path", "labelled_images: column of paths.")
LABEL_COLUMN = flags.DEFINE_string(
    "label_column", "", "labelled_images: column of labels (default: label or class)."
)
ID_COLUMN = flags.DEFINE_string("id_column", "", "labelled_images: ids (default: the path).")
GROUP_COLUMN = flags.DEFINE_string(
    "group_column", "", "labelled_images: what splits must not part (default: tweet id, or id)."
)
CLASSES = flags.DEFINE_list(
    "classes", ["negative", "neutral", "positive"], "labelled_images: class names in label order."
)
LABELS_OF = flags.DEFINE_enum(
    "labels_of", "human", ["human", "teacher"], "labelled_images: who gave the labels."
)

COUNT = flags.DEFINE_integer("count", 1000, "demo_tweets: how many.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "demo_tweets: the tweets are a function of it.")
SIZE = flags.DEFINE_integer("size", 32, "demo_tweets: side of the photos.", lower_bound=16)
SHUFFLE_TEXTS = flags.DEFINE_bool(
    "shuffle_texts", False, "demo_tweets: permute texts against photos, as a control."
)

RELEASE = flags.DEFINE_string("release", None, "mvsa_single: folder of the unpacked release.")


def main() -> None:
    from input_pipeline.builder import prepare
    from vit_sentiment.reporting import manifest

    make = {
        "labelled_images": _labelled_images,
        "demo_tweets": _demo_tweets,
        "mvsa_single": _mvsa_single,
    }[BUILDER.value]
    builder = make()
    folder = prepare(builder)
    manifest.write(folder, {"builder": BUILDER.value})
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
        name=NAME.value,
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
        name=NAME.value,
        count=COUNT.value,
        seed=SEED.value,
        size=SIZE.value,
        shuffle_texts=SHUFFLE_TEXTS.value,
    )
    return module.DemoTweets(config=config, data_dir=DATA_DIR.value)


def _mvsa_single():
    from input_pipeline.mvsa_single import mvsa_single_dataset_builder as module

    if RELEASE.value is None:
        raise UserError("--release: expected the folder of the unpacked MVSA-Single release")
    config = module.MvsaSingleConfig(
        name=NAME.value, release=RELEASE.value, on_error=ON_ERROR.value
    )
    return module.MvsaSingle(config=config, data_dir=DATA_DIR.value)


if __name__ == "__main__":
    startup.run(main, __doc__)
