"""One line for what is wrong with `--config=FILE.py:arg` and with `--config.field=value`.

ml_collections answers with a traceback, or takes what cannot work (a number for a whole section),
so this looks at the command line before it does. Configs are descriptions: reading one twice costs
a millisecond.
"""

import difflib
import os
import pathlib
import re
import traceback
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_flags

from vit_sentiment.runtime import config_fields
from vit_sentiment.runtime.errors import UserError

_OPTION = re.compile(
    r"--?(?P<no>no)?config(?:\.(?P<field>[^=]*))?(?P<equals>=(?P<value>.*))?", re.S
)


def check(flag: flags.Flag, argv: Sequence[str]) -> None:
    """Raises UserError for the first mistake in the config flag and the fields that are set.

    Args:
      flag: the one that is named `config`.
      argv: the command line, with the content of flag files.
    """
    if not config_flags.is_config_flag(flag):
        return
    words = list(argv[1:])
    words = words[: words.index("--")] if "--" in words else words
    file, overrides = None, []
    for word, following in zip(words, [*words[1:], None], strict=True):
        option = _OPTION.fullmatch(word)
        if option and option["field"] is not None:
            overrides.append((word, option, following))
        elif option and not option["no"]:
            file = option["value"] if option["equals"] else following
    if file is None:
        return  # The verb says that it is required.
    config = load(flag.parser, file)
    for word, option, following in overrides:
        try:
            _check_override(config, option, following)
        except UserError as error:
            raise UserError(f"{word}: {error}") from error


def _check_override(config: ConfigDict, option: re.Match[str], following: str | None) -> None:
    name = option["field"]
    kind, _ = config_fields.find(config, name)
    if option["no"] and (kind is not bool or option["equals"]):
        raise UserError(f"write --config.{name}=VALUE")
    value = option["value"] if option["equals"] else following
    if kind is bool and not option["equals"]:
        return
    if value is None:
        raise UserError(f"write --config.{name}=VALUE")
    config_fields.convert(config, name, value)


def load(parser: Any, file: str) -> ConfigDict:
    """The config of FILE.py:arg, as the flag's parser reads it.

    Raises:
      UserError: there is no such file, it fails, or it does not take such an argument.
    """
    path, colon, argument = file.partition(":")
    if not pathlib.Path(path).is_file():
        raise UserError(f"--config={file}: no such file{_nearest_file(path)}")
    try:
        config = parser.parse(file)
        items = getattr(config, "items", None)  # Raises if reading failed.
    except Exception as error:
        # ml_collections raises errors of these types anew, around a whole traceback.
        anew = isinstance(error, (TypeError, ValueError)) and error.__context__
        why = _failure(path, bool(colon), argument, error.__context__ if anew else error)
        raise UserError(f"--config={file}: {why}") from error
    if items is None:
        raise UserError(
            f"--config={file}: expected a ConfigDict of get_config, found {type(config).__name__}"
        )
    return config


def _nearest_file(path: str) -> str:
    folder = pathlib.Path(path).parent
    there = [str(other) for other in sorted(folder.glob("*.py")) if other.stem != "__init__"]
    near = difflib.get_close_matches(path, there, n=1)
    return f"; nearest: {near[0]}" if near else ""


def _failure(path: str, has_argument: bool, argument: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"SyntaxError at {_relative(error.filename)}:{error.lineno}: {error.msg}"
    if isinstance(error, OSError):
        return text.rpartition("failure to load: ")[2]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if frame.filename == config_flags.__file__:  # The call itself failed.
        if isinstance(error, AttributeError):
            return "has no get_config()"
        if has_argument:
            return f"takes no argument, found {argument!r}"
        return f"needs an argument, --config={path}:ARGUMENT"
    if isinstance(error, ValueError) and text.startswith(f"{path}: "):
        return text.removeprefix(f"{path}: ")
    return f"{type(error).__name__} at {_relative(frame.filename)}:{frame.lineno}: {text}"


def _relative(path: str | None) -> str:
    return os.path.relpath(path) if path else "?"
