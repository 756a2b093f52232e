"""How every verb starts: flags, `--help`, one-line errors and exit codes.

Exit codes: 0 success (also `--help`, and a run that was stopped and saved); 1 a mistake in what
the user gave, told in one line; 2 a defect of this project, with its traceback; 130 interrupted.

absl's own start-up exits 1 on `--help`, lets stray arguments pass and answers an unknown config
field with a traceback; this module is why ours does not.
"""

import difflib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from absl import flags, logging

from vit_sentiment.runtime.errors import UserError

HELP_WORDS = frozenset({"--help", "-help", "-h", "-?", "--helpshort", "--helpfull"})
EXIT_CODES = """Exit codes: 0 success; 1 a mistake in the input, told in one line; 2 a defect of
this project, with a traceback; 130 interrupted."""


def run(main: Callable[..., None], doc: str, *, arguments: tuple[str, ...] = ()) -> NoReturn:
    """Parses the command line, runs `main` and exits.

    Args:
      main: takes the positional arguments.
      doc: the verb's module docstring, the head of `--help`.
      arguments: names of the positional arguments, all of them required.
    """
    sys.exit(_run(main, doc, arguments, sys.argv))


def _run(main: Callable[..., None], doc: str, arguments: tuple[str, ...], argv: list[str]) -> int:
    if HELP_WORDS.intersection(argv[1:]):
        print(_help(doc, argv[0]))
        return 0
    try:
        logging.set_verbosity(logging.ERROR)  # Orbax and TFDS narrate every file.
        main(*_parse(argv, arguments))
        sys.stdout.flush()
        return 0
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` closed it.
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception:
        traceback.print_exc()
        return 2


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parse(argv: list[str], arguments: tuple[str, ...]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(_one_line(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        # Overrides of the form --config.field=value are applied while flags are parsed.
        raise UserError(_config_error(error)) from error
    values = rest[1:]
    if len(values) > len(arguments):
        extra = values[len(arguments)]
        raise UserError(f"unexpected argument {extra!r}; options are written --name=value")
    if len(values) < len(arguments):
        raise UserError(f"missing argument {arguments[len(values)]}; see --help")
    return values


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _config_error(error: Exception) -> str:
    text = _one_line(error).strip("'\"")
    overrides = [a for a in sys.argv[1:] if a.startswith("--config.")]
    return f"in {' '.join(overrides) or '--config'}: {text}"


def config_value(flag: flags.FlagHolder[Any]) -> Any:
    """The config of a `DEFINE_config_file` flag; raises UserError where the file is not usable."""
    try:
        return flag.value
    except FileNotFoundError as error:
        raise UserError(f"--config: no such file: {error.filename or _one_line(error)}") from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"--config: cannot be read: {type(error).__name__}: {_one_line(error)}"
        ) from error


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean X?` for the known word nearest to `word`, or all of them when none is."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def choose(what: str, word: str, known: list[str]) -> str:
    """Returns `word` if it is known; raises UserError that names the nearest otherwise."""
    if word not in known:
        raise UserError(f"{what}: unknown value {word!r}{nearest(word, known)}")
    return word


def _help(doc: str, program: str) -> str:
    lines = [inspect.cleandoc(doc), "", "Options:"]
    for flag in sorted(flags.FLAGS.get_key_flags_for_module(program), key=lambda f: f.name):
        default = "" if flag.default in (None, "") else f" (default: {flag.default})"
        kind = "" if flag.boolean else f"={flag.flag_type().upper()}"
        lines.append(f"  --{flag.name}{kind}")
        lines.append(f"      {_one_line(Exception(flag.help))}{default}")
    return "\n".join([*lines, "", EXIT_CODES])
