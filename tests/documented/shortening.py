"""What makes documented commands short, what they write, and which of them do the same."""

import pathlib
import re
from collections.abc import Sequence

from documented.commands import Command

RUNS = ("demo/train", "small", "b32", "tweets", "bal", "mine-b32")
DATASETS = ("data/tweets", "data/mine", "data/bal", "demo/data/distilled")
"""Below `runs`: copies of the same run and of the same dataset."""

_STEPS = "--config.stages[{0}].{1}".format
_LENGTH = ("epochs=0", "steps=2", "warmup_steps=0")
ONE_STAGE = ["--config.data.num_threads=1", *(_STEPS(0, field) for field in _LENGTH)]
_TWO_STAGES = [*ONE_STAGE, *(_STEPS(1, field) for field in _LENGTH)]
_MODEL = {"patch_size": 8, "hidden_size": 48, "num_layers": 1, "num_heads": 4, "mlp_size": 96}
STUDENT = [*(f"--config.model.{name}={size}" for name, size in _MODEL.items())]
STUDENT.append("--config.model.image_size=(32, 32)")
"""Sizes of every stand-in, so that programs are compiled once for all."""
_TABLE = ["--config.teacher.name=table", "--config.teacher.table=teacher.csv"]
"""No stand-in of RoBERTa is as sure of anything as these presets want it."""

SHORTER: tuple[tuple[str, list[str]], ...] = (
    (r"vit_sentiment\.(train|sweep) .*(demo\.py|tweets\.py:small)", ONE_STAGE),
    (r"vit_sentiment\.(train|sweep) .*(tweets\.py |t4sa\.py)", _TWO_STAGES),
    (r"vit_sentiment\.(train|sweep) .*", [*STUDENT, "--config.data.batch_size=16"]),
    (r"vit_sentiment\.(train|sweep) .*--seeds=0,1", ["--seeds=0,1"]),
    (r"vit_sentiment\.sweep (?!.*--shard)", ["--shard=0/4"]),
    # The last two are the defaults, which make commands alike that name them.
    (r"vit_sentiment\.cross_validate ", ["--epochs=1", "--batch_size=32", "--seed=42"]),
    (r"vit_sentiment\.cross_validate (?!.*--splits=given)", ["--folds=2"]),
    (r"vit_sentiment\.distill .*:(bal|merged) ", _TABLE),
    (r"vit_sentiment\.distill .*--teacher=roberta", ["--teacher_model=ROBERTA"]),
    (r"vit_sentiment\.probe ", ["--draws=2"]),
    (r"vit_sentiment\.bench infer", ["--batch_sizes=1,2", "--rounds=1", "--seconds=0"]),
    (r"vit_sentiment\.bench infer (?!--model)", ["--model=runs/small"]),
    (
        r"vit_sentiment\.bench predict",
        ["--parts=decoder", "--count=4", "--batch_size=2", "--rounds=1"],
    ),
    (r"vit_sentiment\.serve", ["--port=0", "--batch_size=2"]),
)
"""What is put behind a command that matches: smaller models, fewer steps and tweets."""


def shortened_block(source: str) -> str:
    """A block of Python for photos of the stand-ins' size."""
    return source.replace("64, 64", "32, 32")


def _more(command: Command) -> list[str]:
    more = [words for pattern, words in SHORTER if re.search(pattern, command.text)]
    return [word for words in more for word in words]


def shortened(command: Command) -> list[str]:
    """The words behind `python`, with what makes the command short."""
    return [*command.words[1:], *_more(command)]


def likeness(command: Command) -> tuple[str, ...]:
    """The shortened words; equal for commands that differ in names of outputs and copies alone."""
    more = _more(command)
    replaced = {word.partition("=")[0] for word in more}
    words = [word for word in command.words if word.partition("=")[0] not in replaced]
    outputs = written(command)
    words = [_without_names(word, outputs) for word in words]
    return (command.feed, *words, *more)


def _without_names(word: str, outputs: Sequence[str]) -> str:
    for path in outputs:
        if word.endswith(path):
            return word.removesuffix(path) + "OUT" + pathlib.PurePath(path).suffix
    for what, names in (("RUN", RUNS), ("DATA", DATASETS)):
        alike = "|".join(map(re.escape, names))
        word = re.sub(rf"(?<![\w/])runs/(?:{alike})(?![\w/-])", what, word)
    return word


def written(command: Command) -> list[str]:
    """Paths that a command says it writes."""
    flags = ["out", "json", "jsonl", "csv", "html", "explain"]
    if command.module in ("vit_sentiment.train", "vit_sentiment.sweep"):
        flags.append("workdir")
    named = re.compile(rf"--(?:{'|'.join(flags)})=(.+)")
    found = [match[1] for word in command.words if (match := named.fullmatch(word))]
    if command.module == "checkpoints.convert":
        found.append([word for word in command.words if not word.startswith("-")][-1])
    return found
