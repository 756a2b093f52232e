"""Tells the sentiment of photos: a few on the terminal or as a table, millions into Parquet files.

  python -m vit_sentiment.predict --model=runs/demo/train photo.jpg photos/
  python -m vit_sentiment.predict --model=runs/demo/train --list=photos.txt --out=runs/scores

Photos are files, folders (with all below them), patterns in quotes such as 'photos/**/*.jpg', or -
for standard input: one photo, or paths, one a line. A photo that cannot be read is a row with its
error, and the exit code is 1 at the end.

With --list the photos of a file, one path a line or a column of a table, are scored into Parquet
files in a folder, on all local devices, with checksums (sha256sum -c SHA256SUMS) and a summary of
the classes' shares. The same command goes on where it was stopped; with another list, model or
setting it refuses. Several hosts share the work with --shard=0/4, --shard=1/4, --shard=2/4 and
--shard=3/4; when all are done, the same command without --shard writes the summary. URLs are not
fetched.

Thresholds of --abstain and --accuracy, and --prior, need a calibrated model; see python -m
vit_sentiment.calibrate --help.
"""

import os

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

MODEL = flags.DEFINE_string(
    "model",
    None,
    "Name of a published model, workdir of a run, weight file or Hugging Face folder.",
    short_name="m",
    required=True,
)
LIST = flags.DEFINE_string(
    "list",
    None,
    "File with the photos' paths: text, one a line, or .parquet, .csv, .tsv, .jsonl.",
)
COLUMN = flags.DEFINE_string("column", "path", "Of a list that is a table: the column of paths.")
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Folder that the paths of a list are relative to (default: where the command runs).",
)
BINARY = flags.DEFINE_bool(
    "binary", False, "Negative or positive alone, as in the original's benchmarks."
)
THRESHOLD = flags.DEFINE_float(
    "threshold", None, "Confidence from 0 to 1 below which a photo gets no label."
)
ABSTAIN = flags.DEFINE_float(
    "abstain", None, "Instead: share of the photos that may stay without a label."
)
ACCURACY = flags.DEFINE_float("accuracy", None, "Instead: share of right labels wanted.")
PRIOR = flags.DEFINE_string(
    "prior", None, "Shares of the classes among these photos, if known, as in 0.2,0.5,0.3."
)
CSV = flags.DEFINE_string("csv", None, "File for the predictions; - is standard output.")
JSONL = flags.DEFINE_string("jsonl", None, "File for them, a JSON object a line; - as above.")
OUT = flags.DEFINE_string("out", None, "With --list: folder of the results.")
FEATURES = flags.DEFINE_bool("features", False, "With --list: write the features, too.")
EXPLAIN = flags.DEFINE_string(
    "explain", None, "Folder for figures of where the model looks, one for each photo."
)
STRICT = flags.DEFINE_bool("strict", False, "Stop at the first photo that cannot be read.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)
ROWS_PER_SHARD = flags.DEFINE_integer(
    "rows_per_shard", 4096, "With --list: photos in each file.", lower_bound=1
)
SHARD = flags.DEFINE_string(
    "shard", None, "With --list: the part of one of several hosts, from 0/4 to 3/4 for four."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (MODEL, *weight_flags.GROUP),
    "Labels": (BINARY, THRESHOLD, ABSTAIN, ACCURACY, PRIOR),
    "Results": (CSV, JSONL, EXPLAIN, STRICT),
    "Millions of photos": (LIST, COLUMN, IMAGES, OUT, FEATURES, ROWS_PER_SHARD, SHARD),
    "Running": (BATCH_SIZE,),
}
OF_LISTS = (COLUMN, IMAGES, OUT, FEATURES, ROWS_PER_SHARD, SHARD)
OF_FEW = (CSV, JSONL, EXPLAIN)


def main(*words: str) -> None:
    if bool(words) == (LIST.value is not None):
        raise UserError("give either photos or --list; see --help")
    others = OF_FEW if LIST.value else OF_LISTS
    if unused := [flag.name for flag in others if flag.present]:
        raise UserError(f"--{unused[0]} does not go {'with' if LIST.value else 'without'} --list")
    if LIST.value:
        _list()
    else:
        _few(words)


def _list() -> None:
    if OUT.value is None:
        raise UserError("--list needs --out=FOLDER")
    part = _part()
    from vit_sentiment.predicting import score_list

    model, choice = _model()
    options = score_list.Options(
        list=LIST.value,
        column=COLUMN.value,
        images=IMAGES.value,
        out=OUT.value,
        batch_size=BATCH_SIZE.value,
        rows_per_shard=ROWS_PER_SHARD.value,
        part=part,
        features=FEATURES.value,
        strict=STRICT.value,
    )
    summary = score_list.score(model, choice, options)
    if summary["failed"]:
        raise UserError(
            f"{summary['failed']} of {summary['rows']} photos cannot be read; see the column error "
            f"of the files in {OUT.value}"
        )


def _part() -> tuple[int, int] | None:
    """Host and number of hosts of a flag of the form 0/4."""
    if SHARD.value is None:
        return None
    words = SHARD.value.split("/")
    if len(words) == 2 and all(word.isdecimal() for word in words):
        index, total = map(int, words)
        if index < total:
            return index, total
    raise UserError(f"--shard: expected I/N with I from 0 to N - 1, found {SHARD.value!r}")


def _few(words) -> None:
    files = [os.path.realpath(flag.value) for flag in (CSV, JSONL) if flag.value is not None]
    if len(files) > len(set(files)):
        raise UserError(f"--csv and --jsonl are both {CSV.value}, expected two files")
    from vit_sentiment.predicting import few, given

    photos = given.photos(words)
    model, choice = _model()
    bad = few.predict(
        model,
        photos,
        choice,
        batch_size=BATCH_SIZE.value,
        csv_file=CSV.value,
        jsonl_file=JSONL.value,
        strict=STRICT.value,
        explain=EXPLAIN.value,
    )
    if bad:
        raise UserError(f"{len(bad)} of {len(photos)} photos cannot be read; see their rows")


def _model():
    from vit_sentiment.inference.model import load
    from vit_sentiment.predicting.choices import choose
    from vit_sentiment.runtime import accelerator

    accelerator.prepare()
    model = load(MODEL.value, **weight_flags.hints())
    prior = startup.numbers(PRIOR, model.description.num_classes)
    choice = choose(
        model.description,
        binary=BINARY.value,
        threshold=THRESHOLD.value,
        abstain=ABSTAIN.value,
        accuracy=ACCURACY.value,
        prior=prior,
    )
    return model, choice


if __name__ == "__main__":
    startup.run(main, __doc__, arguments=("PHOTO...",), groups=GROUPS)
