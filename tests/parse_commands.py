"""Parses command lines of one verb as it would itself, without running it.

  python tests/parse_commands.py MODULE <commands.json >problems.json

Reads {"commands": [[word, ...], ...], "flags": [name, ...]}. Writes a list of [subject, problem]
for each command that does not parse and each flag that there is not.
"""

import json
import os
import runpy
import sys

from absl import flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError


def parse(argv, arguments, config):
    """What is wrong with a command line, or None; in a child, since flags keep what they parsed."""
    reader, writer = os.pipe()
    if child := os.fork():
        os.close(writer)
        with os.fdopen(reader) as file:
            problem = file.read()
        _, status = os.waitpid(child, 0)
        return problem or (f"exit status {status}" if status else None)
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        try:
            sys.argv = argv  # Where ml_collections looks for --config.field=value.
            startup._parse(argv, arguments, config)
        except UserError as error:
            file.write(str(error))
        except BaseException as error:
            file.write(repr(error))
    os._exit(0)


def main(module):
    asked = json.load(sys.stdin)
    started = []
    startup.run = lambda main, doc, arguments=(), config=None: started.append((arguments, config))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__")
    ((arguments, config),) = started
    problems = [(words, parse([module, *words], arguments, config)) for words in asked["commands"]]
    found = [[" ".join(words), problem] for words, problem in problems if problem]
    found += [[f"--{name}", "no such flag"] for name in asked["flags"] if name not in flags.FLAGS]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
