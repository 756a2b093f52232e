"""What the files in configs/ amount to, and what the comments in them say of each field.

Two of them define fields: `common.py` those of training, `distill.py` those of `distill`.
"""

import ast
import importlib
import json
import pathlib
import re

from configs import common, distill
from vit_sentiment.runtime import config_fields

ROOT = pathlib.Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "configs"
DOCUMENT = ROOT / "docs" / "config.md"
COMMAND = "python tests/golden/configs/make.py"
STAGE = "stages[N]"
DEFINING = {"common": ("stage", "get_config"), "distill": ("_defaults",)}
BASES = {
    "common": ("Training", "`train`, `cross_validate` and `sweep`"),
    "distill": ("Distillation", "`distill`"),
}
_HEAD = f"""# Every field of a config

Made from the comments in `configs/common.py` and `configs/distill.py` by
`{COMMAND}`; not to be edited here. The defaults are those of these two; the
other files in `configs/` state what differs. A field is set with `--config.FIELD=VALUE`, such as
`--config.optimizer.name=lion`, `'--config.stages[0].epochs=3'` or
`'--config.augment.crop_area=(0.5, 1.0)'`.
"""


def modules():
    """The modules in configs/ by name."""
    stems = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    return {stem: importlib.import_module(f"configs.{stem}") for stem in stems if stem[0] != "_"}


def arguments(module):
    """What its get_config takes: a file that takes an argument lists them in ARGUMENTS."""
    return getattr(module, "ARGUMENTS", ("",))


def cases():
    """Golden file names by module name and argument."""
    return {
        (name, argument): "-".join(filter(None, [name, argument.replace(",", "-")])) + ".json"
        for name, module in modules().items()
        for argument in arguments(module)
    }


def resolved(name, argument):
    """All values of a config as JSON text, a line for each number or text."""
    config = modules()[name].get_config(*filter(None, [argument]))
    return json.dumps(config_fields.leaves(config), indent=2, sort_keys=True) + "\n"


def comments(base):
    """The comment above each assignment in a file by field, in the order of the file.

    Sections are among them: `model`, `stages`.
    """
    text = (ROOT / "configs" / f"{base}.py").read_text()
    lines = text.splitlines()
    found = {}
    for function in ast.parse(text).body:
        if isinstance(function, ast.FunctionDef) and function.name in DEFINING[base]:
            prefix = f"{STAGE}." if function.name == "stage" else ""
            for statement in function.body:
                if isinstance(statement, ast.Assign) and "." in (
                    name := ast.unparse(statement.targets[0])
                ):
                    field = prefix + name.partition(".")[2]
                    found[field] = _comment_above(lines, statement.lineno - 1)
    return found


def _comment_above(lines, number):
    first = number
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(line.strip().lstrip("# ") for line in lines[first:number])


def defaults(base):
    """Values by field; stages' are those of `stage()`."""
    if base == "distill":
        return config_fields.leaves(distill.get_config())
    values = config_fields.leaves(common.get_config())
    values = {name: value for name, value in values.items() if not name.startswith("stages[")}
    stage = config_fields.leaves(common.stage())
    return values | {f"{STAGE}.{name}": value for name, value in stage.items()}


def document():
    """The text of docs/config.md."""
    parts = [_HEAD]
    for base, (title, verbs) in BASES.items():
        parts.append(f"## {title}\n\nOf {verbs}, in `configs/{base}.py`.\n")
        parts += _sections(comments(base), defaults(base))
    return "\n".join(parts)


def _sections(told, values):
    sections = {"": []}
    for field in told:
        if field == "stages":
            sections[STAGE] = [name for name in told if name.startswith(STAGE)]
        elif field not in values:
            sections[field] = [name for name in told if name.startswith(f"{field}.")]
        elif "." not in field:
            sections[""].append(field)
    for section, fields in sections.items():
        about = told["stages" if section == STAGE else section] if section else ""
        yield f"### `{section}`\n" if section else "### As a whole\n"
        yield from [f"{about}\n"] if about else []
        rows = [f"| `{name}` | {_shown(values[name])} | {_cell(told[name])} |" for name in fields]
        yield "\n".join(["| field | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _shown(value):
    return "unset" if value is None else f"`{value!r}`"


def _cell(text):
    return re.sub(r"\|", r"\\|", text)
