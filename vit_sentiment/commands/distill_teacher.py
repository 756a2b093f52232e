"""Scores a teacher on tweets that people labelled by their text.

  python -m vit_sentiment.distill teacher --data=labelled.csv
  python -m vit_sentiment.distill teacher --data=tweeteval/sentiment --split=test \\
      --teacher=roberta --out=runs/teacher

Prints accuracy, macro recall, macro-F1, what each class is taken for, and how accurate the teacher
is where it is confident. The data is a table with columns text and label (negative, neutral,
positive or 0, 1, 2); a folder of TweetEval (SPLIT_text.txt, SPLIT_labels.txt, mapping.txt); or a
dataset with texts. With --out, figures, predictions and a report are written, too.
"""

import pathlib

from absl import flags

from vit_sentiment.distillation import vader
from vit_sentiment.runtime.errors import UserError

DATA = flags.DEFINE_string("data", None, "Table, TweetEval folder or dataset.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Where datasets are found by name.")
SPLIT = flags.DEFINE_string("split", None, "Split of it (default: test, or the only one).")
TEXT_COLUMN = flags.DEFINE_string("text_column", "text", "Of a table: the tweets.")
LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "Of a table: their labels.")
ID_COLUMN = flags.DEFINE_string(
    "id_column", "id", "Of a table: what --teacher_table knows the tweets by; may be missing."
)
OUT = flags.DEFINE_string("out", None, "Folder for figures, predictions and a report.")
TEACHER = flags.DEFINE_enum(
    "teacher", "vader", ["vader", "roberta", "table"], "What labels the texts."
)
TEACHER_MODEL = flags.DEFINE_string(
    "teacher_model",
    "cardiffnlp/twitter-roberta-base-sentiment-latest",
    "Of --teacher=roberta: a Hugging Face folder, or NAME or NAME@REVISION of the hub.",
)
TEACHER_TABLE = flags.DEFINE_string(
    "teacher_table",
    None,
    "Of --teacher=table: id,NEG,NEU,POS as CSV, TSV or Parquet, or a folder of Parquet files.",
)
MAX_TOKENS = flags.DEFINE_integer(
    "teacher_max_tokens", 128, "Of --teacher=roberta: longer texts are cut.", lower_bound=3
)
SHARPNESS = flags.DEFINE_float(
    "vader_sharpness",
    vader.SHARPNESS,
    "Steepness k of the probabilities made from VADER's compound.",
    lower_bound=0.1,
)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable rows: fail at the first, or skip and list."
)

GROUPS = {
    "Teacher": (TEACHER, TEACHER_MODEL, TEACHER_TABLE, MAX_TOKENS, SHARPNESS),
    "Data": (DATA, DATA_DIR, SPLIT, TEXT_COLUMN, LABEL_COLUMN, ID_COLUMN),
    "Results": (OUT,),
    "Running": (ON_ERROR,),
}

PROBLEMS_FILE = "problems.csv"


def main() -> None:
    if (TEACHER.value == "table") != (TEACHER_TABLE.value is not None):
        raise UserError("--teacher=table and --teacher_table=FILE go together")

    from input_pipeline.problems import Problems
    from vit_sentiment.distillation import labelled_texts, teacher_quality
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime.progress import say

    problems = Problems(ON_ERROR.value)
    tweets = labelled_texts.read_labelled(
        DATA.value,
        problems,
        split=SPLIT.value,
        columns=labelled_texts.Columns(ID_COLUMN.value, TEXT_COLUMN.value, LABEL_COLUMN.value),
        data_dir=DATA_DIR.value,
    )
    if OUT.value:
        pathlib.Path(OUT.value).mkdir(parents=True, exist_ok=True)  # Before the work.
    tweets, probs, facts = _label(tweets, problems)
    result = teacher_quality.judge(tweets, probs) | {"skipped": len(problems.rows)}
    name = {"table": TEACHER_TABLE.value, "roberta": TEACHER_MODEL.value}.get(
        TEACHER.value, TEACHER.value
    )
    print(f"{name} on {DATA.value}, {result['rows']} tweets against {result['label']}")
    for table in (teacher_quality.summary(name, result), teacher_quality.class_table(result)):
        print_table(*table)
    print_table(*teacher_quality.coverage_table(result))
    if not OUT.value:
        if problems.rows:
            say(f"skipped {len(problems.rows)} unusable rows; --out=FOLDER lists them")
        return
    out = pathlib.Path(OUT.value)
    facts = {"data": DATA.value, "split": SPLIT.value, "label": result["label"], **facts}
    problems.write(out / PROBLEMS_FILE)
    teacher_quality.write(out, name, tweets, probs, result, facts)
    print(f"report: {out / teacher_quality.REPORT_FILE}")


def _label(tweets, problems) -> tuple:
    """The tweets that the teacher labels, its probabilities [N, 3] and facts of it."""
    import numpy as np

    from vit_sentiment.distillation import teacher_quality, teachers

    if TEACHER.value == "table":
        found = teachers.look_up(TEACHER_TABLE.value, tweets.ids, problems)
        known = set(found["id"])
        tweets = tweets.take(np.flatnonzero([id_ in known for id_ in tweets.ids]))
        probs = found.select(teachers.COLUMNS).to_numpy().astype(np.float32)
        return tweets, probs, {"teacher": "table", "teacher_table": TEACHER_TABLE.value}
    teacher = teachers.make_teacher(
        TEACHER.value,
        model=TEACHER_MODEL.value,
        max_tokens=MAX_TOKENS.value,
        sharpness=SHARPNESS.value,
    )
    return tweets, teacher_quality.label(teacher, tweets.texts), teacher.facts
