"""Probes a frozen model: linear, k-NN and few-shot classifiers on its features.

  python -m vit_sentiment.probe --workdir=runs/demo/train --data=runs/demo/data/distilled
  python -m vit_sentiment.probe --weights=ViT-B_32.npz --data=runs/data/tweets --on_error=skip

It is the cheap baseline that stands beside every student. The model's own head, if it has one, is
not used. C and k are chosen on the validation split by the labels that the probes are trained on,
which are the teacher's where there are any; without such a split, by cross-validation. Features are
kept in a cache.
"""

import pathlib

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a training run.")
WEIGHTS = flags.DEFINE_string("weights", None, "An .npz file instead of a workdir.")
DATA = flags.DEFINE_string(
    "data", None, "Dataset, table or folder of photos to judge on.", required=True
)
TRAIN_DATA = flags.DEFINE_string("train_data", None, "What to train on (default: --data).")
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Where datasets are found by name.")
IMAGES = flags.DEFINE_string("images", None, "Folder that a table's paths are relative to.")
SPLIT = flags.DEFINE_string(
    "split", None, "Split of a dataset to judge on (default: test, or the only one)."
)
TRAIN_SPLIT = flags.DEFINE_string(
    "train_split", None, "Split to train on (default: train, or the only one)."
)
VALIDATION_SPLIT = flags.DEFINE_string(
    "validation_split",
    None,
    "Split that C and k are chosen on (default: validation, or cross-validation without one).",
)
LABELS = ["human_label", "teacher_label"]
LABEL = flags.DEFINE_enum(
    "label", None, LABELS, "What to judge by (default: human_label where there are any)."
)
TRAIN_LABEL = flags.DEFINE_enum(
    "train_label",
    None,
    LABELS,
    "What to train and choose by (default: teacher_label where there are any).",
)
OUT = flags.DEFINE_string("out", None, "Folder of the results (default: below runs/probe).")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or leave out and count."
)
SEED = flags.DEFINE_integer("seed", 0, "Of folds and few-shot draws.", lower_bound=0)
DRAWS = flags.DEFINE_integer("draws", 5, "Few-shot draws.", lower_bound=1)
CACHE = flags.DEFINE_string(
    "cache", None, "Folder of features (default: vit_sentiment/features in the user's cache)."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (WORKDIR, WEIGHTS, *weight_flags.GROUP),
    "Data": (DATA, DATA_DIR, IMAGES, SPLIT, LABEL),
    "Training": (TRAIN_DATA, TRAIN_SPLIT, VALIDATION_SPLIT, TRAIN_LABEL, SEED, DRAWS),
    "Results": (OUT,),
    "Running": (BATCH_SIZE, ON_ERROR, CACHE),
}

PREDICTIONS_FILE = "predictions.csv"
REPORT_FILE = "report.html"
PROBLEMS_FILE = "problems.csv"


def main() -> None:
    if (WORKDIR.value is None) == (WEIGHTS.value is None):
        raise UserError("give either --workdir or --weights")

    import jax

    from input_pipeline.problems import Problems
    from vit_sentiment.evaluation import judge, probing
    from vit_sentiment.evaluation.probe_report import report, summary
    from vit_sentiment.inference.features import cached_features, default_cache
    from vit_sentiment.inference.model import load
    from vit_sentiment.reporting import manifest
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime import accelerator, files

    accelerator.prepare()
    model = load(WORKDIR.value or WEIGHTS.value, **weight_flags.hints())
    problems = Problems(ON_ERROR.value)
    sources = _open(problems)
    test = sources["test"]
    labels = _labels(sources)
    texts = _warnings(sources)
    for text in texts:
        say(f"warning: {text}")
    out = _out(test)
    out.mkdir(parents=True, exist_ok=True)  # Before the work, not after it.

    devices = jax.local_device_count()
    features = {
        part: cached_features(
            model,
            source,
            CACHE.value or default_cache(),
            batch_size=-(-BATCH_SIZE.value // devices) * devices,
            on_error=ON_ERROR.value,
        )
        for part, source in sources.items()
    }
    for part, source in sources.items():
        found = judge.Predictions(features[part].values, features[part].readable)
        judge.note_unreadable(source, found, problems)
    probed, predicted = probing.run(sources, features, labels, draws=DRAWS.value, seed=SEED.value)
    facts = {"model": model.source, "model_id": model.model_id}
    result = {**facts, **probed, "warnings": texts}
    for part in sources:
        names = ("name", "split", "fingerprint", "label", "rows")
        facts |= {f"{part} {name}": result[part][name] for name in names}
    facts |= {"seed": SEED.value, "commit": manifest.commit()}
    judge.write_predictions(out / PREDICTIONS_FILE, test, predicted)
    problems.write(out / PROBLEMS_FILE)
    files.write_json(out / probing.RESULT_FILE, result)
    manifest.write(out, {**facts, "description": model.description.to_json()})
    title = f"Probes of {WORKDIR.value or WEIGHTS.value} on {test.name} {test.split}"
    files.write_text(out / REPORT_FILE, report(title.strip(), result, facts))
    print(
        f"{model.source}, trained on {labels['train']}; "
        f"{test.name} {test.split}, against {labels['test']}"
    )
    print_table(*summary(result))
    print(f"report: {out / REPORT_FILE}")


def _open(problems) -> dict:
    """The sources by part: train, validation where there is one, test."""
    from input_pipeline.records import CLASSES
    from input_pipeline.sources import choose_split, open_source, split_names

    train_data = TRAIN_DATA.value or DATA.value
    splits = split_names(train_data, DATA_DIR.value)
    if not splits and not TRAIN_DATA.value:
        raise UserError(f"{DATA.value}: has no split to train on; give --train_data")

    def open_part(name, split, classes):
        return open_source(
            name,
            split,
            data_dir=DATA_DIR.value,
            images=IMAGES.value,
            classes=classes,
            problems=problems,
        )

    train_split = choose_split(train_data, TRAIN_SPLIT.value, "train", DATA_DIR.value)
    sources = {"train": open_part(train_data, train_split, CLASSES)}
    classes = sources["train"].classes
    validation = choose_split(train_data, VALIDATION_SPLIT.value, "validation", DATA_DIR.value)
    if validation:
        sources["validation"] = open_part(train_data, validation, classes)
    split = choose_split(DATA.value, SPLIT.value, "test", DATA_DIR.value)
    sources["test"] = test = open_part(DATA.value, split, classes)
    if test.classes != classes:
        raise UserError(
            f"{test.name} has the classes {list(test.classes)}, {train_data} has {list(classes)}"
        )
    return sources


def _labels(sources) -> dict[str, str]:
    """Which label each part uses. What chooses C and k is what the probes are trained on, so that
    a human label has no part in a distilled student."""

    def first(source, names):
        return next((n for n in names if (source.labels(n) >= 0).any()), names[0])

    train = TRAIN_LABEL.value or first(sources["train"], ("teacher_label", "human_label"))
    test = LABEL.value or first(sources["test"], ("human_label", "teacher_label"))
    labels = {"train": train, "validation": train, "test": test}
    for part, source in sources.items():
        if not (source.labels(labels[part]) >= 0).any():
            where = ", split ".join(filter(None, [source.name, source.split]))
            raise UserError(f"{where}: no row has a {labels[part]}")
    return labels


def _warnings(sources) -> list[str]:
    """Leaks: groups of one part in another, and groups that the model itself has trained on."""
    import numpy as np

    from vit_sentiment.evaluation.judge import leaked_groups
    from vit_sentiment.training.workdir import GROUPS_FILE

    test, validation = sources["test"], sources.get("validation")
    train = ("the probes' training data", sources["train"].group_hashes())
    pairs = [(test, *train)]
    if validation is not None:
        pairs += [(validation, *train), (test, "the validation data", validation.group_hashes())]
    path = pathlib.Path(WORKDIR.value or pathlib.Path(WEIGHTS.value).parent, GROUPS_FILE)
    if path.exists():
        pairs.append((test, "the model's training data", np.load(path)))
    return [
        f"{leaked} of {source.index['group'].n_unique()} groups (tweets) of {source.name} "
        f"{source.split or '(all)'} were in {what}; these figures do not measure generalisation"
        for source, what, groups in pairs
        if (leaked := leaked_groups(groups, source))
    ]


def _out(test) -> pathlib.Path:
    if OUT.value:
        return pathlib.Path(OUT.value)
    model = pathlib.Path(WORKDIR.value).resolve() if WORKDIR.value else pathlib.Path(WEIGHTS.value)
    name = "-".join(filter(None, [pathlib.Path(test.name).stem, test.split]))
    return pathlib.Path("runs", "probe", model.stem, name)


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
