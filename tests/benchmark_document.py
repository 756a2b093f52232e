"""The tables in docs/benchmarks.md, made from the published figures and the list of models.

  python tests/benchmark_document.py

writes them anew between their marks.
"""

import csv
import itertools
import pathlib
import re
import sys
import types

ROOT = pathlib.Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]

from checkpoints import published as models  # noqa: E402
from checkpoints import releases  # noqa: E402
from vit_sentiment.evaluation import published  # noqa: E402

DOCUMENT = ROOT / "docs" / "benchmarks.md"
COMMAND = "python tests/benchmark_document.py"


def tables():
    """Markdown tables by the name of their mark."""
    return {"models": _models(), "published": _published()}


def document(text):
    """The document with the tables as they should be between their marks."""
    for name, table in tables().items():
        marks = f"<!-- {name}: made by `{COMMAND}` -->", f"<!-- end of {name} -->"
        pattern = "(?s)" + ".*?".join(map(re.escape, marks))
        text = re.sub(pattern, lambda _, m=marks, t=table: f"{m[0]}\n{t}\n{m[1]}", text)
    return text


def _models():
    rows = []
    for model in models.MODELS.values():
        low, high = model.input_range
        where = "downloads" if releases.find(model.name).url else "`NAME=FILE`"
        rows.append(
            [
                *(f"`{model.name}`", f"ViT-{model.variant}", model.image_size),
                *(f"[{low:g}, {high:g}]", model.training_set, where),
            ]
        )
    return _table(["name", "architecture", "image", "input range", "training set", "weights"], rows)


def _published():
    """A row for each system, benchmark and figure; sources and protocols are told once each."""
    parts = []
    for (source, protocol), cells in itertools.groupby(
        sorted(_figures(), key=_first_seen), lambda f: (f.source, f.protocol)
    ):
        cells = list(cells)
        columns = list(dict.fromkeys((f.benchmark, f.metric) for f in cells))
        rows = []
        for system in dict.fromkeys(f.system for f in cells):
            own = {(f.benchmark, f.metric): f.percent for f in cells if f.system == system}
            rows.append([system, *(own.get(column, "") for column in columns)])
        shown = [name if metric == "accuracy" else f"{name} {metric}" for name, metric in columns]
        parts.append(f"**{source}**; {protocol}\n\n{_table(['%', *shown], rows)}")
    return "\n\n".join(parts)


def _figures():
    """The rows of the file as text, since 78.0 is not 78."""
    with open(published.FILE, newline="") as file:
        return [types.SimpleNamespace(**row) for row in csv.DictReader(file)]


def _first_seen(figure):
    order = list(dict.fromkeys((f.source, f.protocol) for f in _figures()))
    return order.index((figure.source, figure.protocol))


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text()))
