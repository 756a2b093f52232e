"""How every verb starts: flags, `--help`, one-line errors and exit codes.

Exit codes: 0 success (also `--help`, and a run that was stopped and saved); 1 a mistake in what
the user gave, told in one line; 2 a defect of this project, with its traceback; 130 interrupted.

absl's own start-up exits 1 on `--help` and lets stray arguments pass; this module is why ours does
not. Mistakes in configs are told by `config_errors`.
"""

import errno
import functools
import importlib
import math
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from absl import flags, logging

from vit_sentiment.runtime import help_text
from vit_sentiment.runtime.errors import UserError

HELP_WORDS = frozenset({"--help", "-help", "-h", "-?", "--helpshort", "--helpfull"})


def run(
    main: Callable[..., None],
    doc: str,
    *,
    arguments: tuple[str, ...] = (),
    config: str | os.PathLike[str] | None = None,
    groups: help_text.Groups | None = None,
) -> NoReturn:
    """Parses the command line, runs `main` and exits.

    Args:
      main: takes the positional arguments.
      doc: the verb's module docstring: a sentence, two indented examples, and details.
      arguments: names of the positional arguments, all of them required; a last one that ends
        in `...` takes any number of words, none included.
      config: file for a flag `config` that the command line does not have. As the flag's own
        default ml_collections would read it on import, where mistakes have no handler.
      groups: titles to flags in the order in which `--help` shows them: all that the module has.
    """
    show_help = functools.partial(
        help_text.render,
        doc,
        sys.argv[0],
        arguments=arguments,
        groups=groups,
        needs_config=config is None,
    )
    sys.exit(_run(main, arguments, config, sys.argv, show_help))


def run_command(commands: Mapping[str, str], doc: str = "") -> NoReturn:
    """Runs the command that the first word of the command line names, and exits.

    Args:
      commands: name to module, which is imported only if it is wanted and has flags, `main`, a
        docstring and, where they are needed, `ARGUMENTS`, `CONFIG_FILE` and `GROUPS`, see `run`.
        The one with the empty name runs where the first word is an option or missing.
      doc: for the `--help` of a verb without such a command.
    """
    words = sys.argv[1:]
    name = words[0] if words and not words[0].startswith("-") else ""
    if name not in commands:
        if not name and HELP_WORDS.intersection(words):
            show_help = functools.partial(help_text.render, doc, "", commands=commands)
            sys.exit(_run(lambda: None, (), None, sys.argv, show_help))
        found = f"unknown command {name!r}" if name else "missing command"
        sys.exit(_fail(f"{found}; there are: {', '.join(filter(None, commands))}"))
    module = importlib.import_module(commands[name])
    arguments, config = getattr(module, "ARGUMENTS", ()), getattr(module, "CONFIG_FILE", None)
    show_help = functools.partial(
        help_text.render,
        module.__doc__,
        module,
        command=name,
        arguments=arguments,
        groups=getattr(module, "GROUPS", None),
        commands=None if name else commands,
        needs_config=config is None,
    )
    argv = [sys.argv[0], *words[1 if name else 0 :]]
    sys.exit(_run(module.main, arguments, config, argv, show_help))


def _run(
    main: Callable[..., None],
    arguments: tuple[str, ...],
    config: str | os.PathLike[str] | None,
    argv: list[str],
    show_help: Callable[[], str],
) -> int:
    _open_closed_streams()
    try:
        if HELP_WORDS.intersection(argv[1:]):
            print(show_help())
            sys.stdout.flush()
            return 0
        logging.set_verbosity(logging.ERROR)  # Orbax and TFDS narrate every file.
        main(*_parse(argv, arguments, config))
        if sys.stdout is not None:  # Closed by whoever started this.
            sys.stdout.flush()
        return 0
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:
        if _stdout_is_open():  # Another pipe broke, and that is a defect.
            traceback.print_exc()
            return 2
        return 0
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            traceback.print_exc()
            return 2
        return _fail(": ".join(filter(None, [str(error.filename or ""), error.strerror])))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception:
        traceback.print_exc()
        return 2


def _open_closed_streams() -> None:
    """Python has None for the streams that its caller closed, as `<&-` does."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _stdout_is_open() -> bool:
    """False when the reader of our output has gone, as `head` does in `... | head`."""
    poll = select.poll()
    poll.register(sys.stdout, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return True
    # Or Python complains when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return False


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parse(
    argv: list[str], arguments: tuple[str, ...], config: str | os.PathLike[str] | None
) -> list[str]:
    try:
        if "config" in flags.FLAGS:
            from vit_sentiment.runtime import config_errors

            words = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
            if config and not any(re.match(r"--?config(=|$)", word) for word in words[1:]):
                argv, words = ([line[0], f"--config={config}", *line[1:]] for line in (argv, words))
            config_errors.check(flags.FLAGS["config"], words)
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        missing = re.match(r"flag --(\w+)=None: Flag", str(error))
        message = f"--{missing[1]} is required; see --help" if missing else _one_line(error)
        raise UserError(message) from error
    values = rest[1:]
    variadic = bool(arguments) and arguments[-1].endswith("...")
    required = arguments[:-1] if variadic else arguments
    if len(values) > len(required) and not variadic:
        extra = values[len(required)]
        raise UserError(f"unexpected argument {extra!r}; options are written --name=value")
    if len(values) < len(required):
        raise UserError(f"missing argument {required[len(values)]}; see --help")
    return values


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def config_value(flag: flags.FlagHolder[Any]) -> Any:
    """The config of a `DEFINE_config_file` flag; raises UserError where there is none."""
    if flag.value is None:
        raise UserError(f"--{flag.name} is required; see --help")
    return flag.value


def size(flag: flags.FlagHolder[str | None]) -> tuple[int, int] | None:
    """Height and width of a flag of the form HEIGHTxWIDTH; None where it is not given."""
    if flag.value is None:
        return None
    sides = flag.value.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise UserError(f"--{flag.name}: expected HEIGHTxWIDTH, found {flag.value!r}")
    return int(sides[0]), int(sides[1])


def numbers(flag: flags.FlagHolder[str | None], count: int) -> tuple[float, ...] | None:
    """The `count` numbers of a flag of the form A,B,...; None where it is not given."""
    if flag.value is None:
        return None
    try:
        values = tuple(float(word) for word in flag.value.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UserError(
            f"--{flag.name}: expected {count} numbers with commas between, found {flag.value!r}"
        )
    return values


def seeds(flag: flags.FlagHolder[list[str] | None]) -> list[int]:
    """The different numbers of a flag of the form 0,1,2; none where it is not given."""
    if flag.value is None:
        return []
    texts = flag.value
    if not texts or not all(text.strip().isdecimal() for text in texts):
        raise UserError(f"--{flag.name}: expected numbers such as 0,1,2, found {','.join(texts)!r}")
    values = [int(text) for text in texts]
    if len(set(values)) < len(values):
        raise UserError(f"--{flag.name}: a seed is named twice in {','.join(texts)}")
    return values
