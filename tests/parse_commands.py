"""Parses command lines of one verb as it would itself, without running it.

  python tests/parse_commands.py MODULE <commands.json >problems.json

Reads {"commands": [[word, ...], ...], "flags": [name, ...]}. Writes a list of [subject, problem]
for each command that does not parse and each flag that there is not.
"""

import functools
import importlib
import json
import os
import pathlib
import re
import runpy
import shlex
import subprocess
import sys

from absl import flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]


def command_lines(text):
    """Module and words of each `python -m MODULE ...` line, continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"]:
            yield words[2], words[3:]


def problems(module, commands, names=()):
    """What this program finds in commands and flags' names of one verb."""
    done = subprocess.run(
        [sys.executable, __file__, module],
        input=json.dumps({"commands": commands, "flags": sorted(names)}),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def verbs():
    """Every verb, such as `vit_sentiment.study`, and every command, `vit_sentiment.study noise`."""
    found = []
    for folder in ("vit_sentiment", "checkpoints", "input_pipeline"):
        for path in sorted((ROOT / folder).glob("*.py")):
            module = f"{folder}.{path.stem}"
            calls = re.search(r"^    startup\.run(_command)?\(", path.read_text(), flags=re.M)
            if calls:
                commands = importlib.import_module(module).COMMANDS if calls[1] else {}
                found += [module, *(f"{module} {name}" for name in commands if name)]
    return found


def in_child(check):
    """The text that `check` returns, or of what it raises; flags that it defines or parses are
    the child's alone, since two commands of a verb may have flags of one name."""
    reader, writer = os.pipe()
    if child := os.fork():
        os.close(writer)
        with os.fdopen(reader) as file:
            text = file.read()
        _, status = os.waitpid(child, 0)
        return text or (f"exit status {status}" if status else "")
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        try:
            file.write(check())
        except UserError as error:
            file.write(str(error))
        except BaseException as error:
            file.write(repr(error))
    os._exit(0)


def command(commands, words):
    """The words without the command's name, and what `startup.run` takes of its module."""
    name = words[0] if words and words[0] in commands else ""
    module = importlib.import_module(commands[name])
    own = getattr(module, "ARGUMENTS", ()), getattr(module, "CONFIG_FILE", None)
    return words[1 if name else 0 :], *own


def parse(module, pick, words):
    """Nothing, or raises what is wrong with the command line."""
    words, arguments, config = pick(words)
    sys.argv = [module, *words]  # Where ml_collections looks for --config.field=value.
    startup._parse(sys.argv, arguments, config)
    return ""


def flags_of(pick, name):
    pick([name])
    return " ".join(flags.FLAGS)


def main(module):
    asked = json.load(sys.stdin)
    started = []
    startup.run = lambda main, doc, arguments=(), config=None, groups=None: started.append(
        ((), lambda words: (words, arguments, config))
    )
    startup.run_command = lambda commands, doc="": started.append(
        (commands, functools.partial(command, commands))
    )
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__")
    ((commands, pick),) = started
    found = []
    for words in asked["commands"]:
        if problem := in_child(functools.partial(parse, module, pick, words)):
            found.append([" ".join(words), problem])
    known = {
        flag
        for name in commands or [""]
        for flag in in_child(functools.partial(flags_of, pick, name)).split()
    }
    found += [[f"--{name}", "no such flag"] for name in asked["flags"] if name not in known]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
