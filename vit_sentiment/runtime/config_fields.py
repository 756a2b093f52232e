"""Fields of a config by their dotted names: which there are, their types, and the nearest one."""

import difflib
from collections.abc import Iterator
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_path, tuple_parser

from vit_sentiment.runtime.errors import UserError

_PARSERS = {
    int: (flags.IntegerParser(), "a whole number"),
    float: (flags.FloatParser(), "a number"),
    bool: (flags.BooleanParser(), "True or False"),
    str: (flags.ArgumentParser(), "a text"),
    tuple: (tuple_parser.TupleParser(), "a tuple"),
}
_CUTOFF = 0.6
_AS_NEAR = 0.02
"""Fields whose likeness to what was asked for differs by no more are named side by side."""


def leaves(config: ConfigDict) -> dict[str, Any]:
    """All values by their dotted names, such as `model.variant` and `stages[0].epochs`."""
    return dict(_leaves(config, ""))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, ConfigDict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    elif _has_parts(value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{name}[{number}]")
    else:
        yield name, value


def _has_parts(value: Any) -> bool:
    """Whether it is a tuple of sections, as the stages are."""
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(isinstance(item, ConfigDict) for item in value)
    )


def find(config: ConfigDict, name: str) -> tuple[type, Any]:
    """Type and value of the field that a dotted name leads to.

    Raises:
      UserError: there is none, or it is a whole section; names the nearest.
    """
    try:
        path = config_path.split(name)
    except (ValueError, SyntaxError) as error:
        raise UserError(f"{name!r} is not a field's name{_nearest_text(config, name)}") from error
    kind, value, where = ConfigDict, config, ""
    for part in path:
        if isinstance(value, ConfigDict):
            if not isinstance(part, str) or part not in value:
                raise UserError(_unknown(config, name, part, value))
            kind, value = value.get_type(part), value[part]
            where = f"{where}.{part}" if where else part
        elif _has_parts(value):
            count = len(value)
            if not isinstance(part, int) or not -count <= part < count:
                there = ", ".join(f"{where}[{number}]" for number in range(count))
                raise UserError(f"no such part of {where}, which has {count}: {there}")
            kind, value = ConfigDict, value[part]
            where = f"{where}[{part}]"
        else:
            raise UserError(f"{where} has no parts (now {value!r}); it is set as a whole")
    if isinstance(value, ConfigDict) or _has_parts(value):
        first, _ = next(_leaves(value, where))
        raise UserError(f"{where} is a section; its fields are set one by one, as {first}")
    return kind, value


def _unknown(config: ConfigDict, name: str, part: Any, section: ConfigDict) -> str:
    near = _nearest_text(config, name) or f"; fields here: {', '.join(section)}"
    return f"unknown field {part!r}{near}"


def _nearest_text(config: ConfigDict, name: str) -> str:
    near = nearest(config, name)
    return f"; nearest: {', '.join(near)}" if near else ""


def nearest(config: ConfigDict, name: str) -> list[str]:
    """Full names of the fields most like `name`; more than one where they are equally near.

    Likeness is that of the names within the same section, of the whole names or, for a field in the
    wrong section, of their last parts.
    """
    section, _, last = name.rpartition(".")

    def likeness(field: str) -> float:
        field_section, _, field_last = field.rpartition(".")
        lasts = _ratio(last, field_last)
        if section == field_section:
            return lasts
        return max(_ratio(name, field), 0.9 * lasts)

    found = {field: likeness(field) for field in leaves(config)}
    best = max(found.values(), default=0.0)
    if best < _CUTOFF:
        return []
    return [field for field, value in found.items() if value >= best - _AS_NEAR][:3]


def _ratio(first: str, second: str) -> float:
    return difflib.SequenceMatcher(None, first, second).ratio()


def convert(config: ConfigDict, name: str, value: Any) -> Any:
    """A value for a field, as the field's type.

    Args:
      value: text as on the command line, or a value of the type itself; a whole number will do for
        a number, and a list for a tuple.

    Raises:
      UserError: there is no such field, or the value is not of its type.
    """
    kind, now = find(config, name)
    if kind not in _PARSERS:
        raise UserError(f"{name} cannot be set: its type is {kind.__name__}")
    parser, expected = _PARSERS[kind]
    wrong = UserError(f"expected {expected} (now {now!r}), found {value!r}")
    if isinstance(value, str):
        try:
            value = parser.parse(value)
        except (ValueError, TypeError) as error:
            raise wrong from error
    elif kind is float and type(value) is int:
        value = float(value)
    elif kind is tuple and isinstance(value, list):
        value = tuple(value)
    if type(value) is not kind or (kind is tuple and not _is_like(value, now)):
        raise wrong
    return value


def _is_like(value: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether it holds numbers, if what it replaces does."""
    numbers = (int, float)
    if not now or not all(type(item) in numbers for item in now):
        return True
    return all(type(item) in numbers for item in value)
