"""Options of engines as text: how `steps=12` in a command or a plan becomes a field of an engine's own options.

An engine's options are a frozen dataclass of the engine's package. Here they are looked at from outside only: which
fields can be written as text, and what each text means. Plans and reports hold the text, under `ENGINE.OPTION`, so
that running them again means the same.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from codec_plugin.errors import OptionError

T = TypeVar("T")

_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONE = "none"
_SIMPLE = (str, int, float, bool, Path, Fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionField:
    """One option that can be written as text."""

    name: str
    """As in `ENGINE.NAME=VALUE`."""
    values: str
    """What it takes, for people."""
    default: str
    """What holds where it isn't given, as one would write it."""


def split_option(key: str) -> tuple[str, str]:
    """`engine.option` as (engine, option).

    Raises:
        OptionError: it isn't of that form.
    """
    engine, dot, option = key.rpartition(".")
    if not engine or not dot or not option:
        raise OptionError(f"engine options are called ENGINE.OPTION, such as rife.flow_scale, not {key!r}")
    return engine, option


def options_for(engine: str, given: Mapping[str, str]) -> dict[str, str]:
    """Those of the options `{"engine.option": text}` that are for one engine, without its name."""
    return {split_option(key)[1]: text for key, text in given.items() if split_option(key)[0] == engine}


def option_fields(kind: type[Any] | None) -> tuple[OptionField, ...]:
    """The options of a dataclass that can be written as text, in its own order."""
    if kind is None:
        return ()
    hints = get_type_hints(kind)
    return tuple(
        OptionField(name=field.name, values=values, default=_written(field.default))
        for field in fields(kind)
        if (values := _describe(hints[field.name])) is not None
    )


def read_options(kind: type[T], given: Mapping[str, str], *, engine: str) -> T:
    """Options made from text; what isn't given keeps its default.

    Args:
        kind: a dataclass whose fields all have defaults.
        given: texts by field.
        engine: whose options they are, for messages.

    Raises:
        OptionError: there is no such option, a text isn't a value of it, or the dataclass refuses the values.
    """
    known = {field.name for field in option_fields(kind)}
    hints = get_type_hints(kind)
    values = {}
    for name, text in given.items():
        if name not in known:
            raise OptionError(f"{engine} has no option {name!r}; it has: {', '.join(sorted(known)) or 'none'}")
        try:
            values[name] = _read(hints[name], text)
        except (ValueError, ZeroDivisionError) as error:
            raise OptionError(f"{engine}.{name} takes {_describe(hints[name])}, not {text!r}") from error
    try:
        return kind(**values)
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError(f"{engine}: {error}") from error


def _written(default: Any) -> str:
    if default is None or default is MISSING:
        return _NONE
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A type without its `| None`, and whether it had that."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], len(get_args(hint)) > 1
    return hint, False


def _describe(hint: Any) -> str | None:
    """What texts a type takes; None where no text means a value of it."""
    kind, optional = _without_none(hint)
    if get_origin(kind) is Literal:
        words = " | ".join(str(value) for value in get_args(kind))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        words = " | ".join(str(member.value) for member in kind)
    elif kind in _SIMPLE:
        words = {"str": "text", "bool": "yes | no", "Path": "a path", "Fraction": "a number", "float": "a number"}.get(
            kind.__name__, "a whole number"
        )
    else:
        return None
    return f"{words} | {_NONE}" if optional else words


def _read(hint: Any, text: str) -> Any:
    kind, optional = _without_none(hint)
    if optional and text.lower() == _NONE:
        return None
    if get_origin(kind) is Literal:
        choices = {str(value): value for value in get_args(kind)}
        if text not in choices:
            raise ValueError(text)
        return choices[text]
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise ValueError(text)
        return _BOOLS[text.lower()]
    return kind(text)
