"""Estimates how noisy a teacher's labels are, as a matrix for the forward correction.

  python -m vit_sentiment.study matrix --workdir=runs/tweets --data=runs/data/tweets
  python -m vit_sentiment.study matrix --workdir=runs/demo/train --data=runs/demo/data/distilled \\
      --split=validation

Confident learning (Northcutt et al. 2021): the student of a run says which class a photo most
likely has, and the teacher's labels of those photos are counted. The photos must not be those that
it was trained on. No human label is read. The last line is the option for training a second student
with the loss corrected (Patrini et al. 2017).
"""

import pathlib

from absl import flags

from vit_sentiment.runtime.errors import UserError

WORKDIR = flags.DEFINE_string(
    "workdir", None, "Of a run with hard labels, without smoothing or correction.", required=True
)
DATA = flags.DEFINE_string("data", None, "Dataset with the teacher's labels.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Where datasets are found by name.")
SPLIT = flags.DEFINE_string("split", "validation", "Its split, which the run did not train on.")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "latest", ["latest", "best"], "Of the run.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)

GROUPS = {
    "Model": (WORKDIR, CHECKPOINT),
    "Data": (DATA, DATA_DIR, SPLIT),
    "Running": (BATCH_SIZE,),
}


def main() -> None:
    import numpy as np

    from input_pipeline.sources import open_source
    from vit_sentiment.evaluation import judge, noise_matrix
    from vit_sentiment.inference.model import load
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime import accelerator
    from vit_sentiment.training.workdir import GROUPS_FILE

    accelerator.prepare()
    source = open_source(DATA.value, SPLIT.value, data_dir=DATA_DIR.value)
    labels = source.labels_required("teacher_label")
    seen = pathlib.Path(WORKDIR.value) / GROUPS_FILE
    if seen.exists() and (count := judge.leaked_groups(np.load(seen), source)):
        raise UserError(
            f"{DATA.value}, split {SPLIT.value}: {WORKDIR.value} was trained on {count} of its "
            "groups (tweets); choose a split that it has not seen"
        )
    model = load(WORKDIR.value, checkpoint=CHECKPOINT.value)
    judge.check_classes(model, source)
    probs = judge.predictions(model, source, batch_size=BATCH_SIZE.value).probs
    matrix = noise_matrix.estimate(labels, probs).round(4)
    print(f"P(label of the teacher | class), of {len(source):,} photos")
    header = ["class", *source.classes]
    print_table(
        header, [[name, *row] for name, row in zip(source.classes, matrix.tolist(), strict=True)]
    )
    rows = ",".join(f"({','.join(f'{value:.4f}' for value in row)})" for row in matrix)
    print(f"'--config.loss.noise_matrix=({rows})'")
