"""Options from Python values: a framework's settings dictionary, or keyword arguments. Knows no framework.

Values are str, int, float, bool, None, Path, timedelta, or lists and dictionaries of them; a list repeats the option,
a dictionary repeats it as `key=value`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.schema import BY_NAME, Kind
from uwsgi_deploy.errors import ConfigError

Pair = tuple[str, str | None]


def pairs_of(options: Mapping[str, object], *, origin: str) -> tuple[Pair, ...]:
    """The options of a mapping as text, in order. Names may be spelt with `_`; raises ConfigError for other values."""
    return tuple(
        (name.replace("_", "-"), text)
        for name, value in options.items()
        for text in _texts(name.replace("_", "-"), value, origin)
    )


def framework_options(pairs: Iterable[Pair], *, origin: str) -> tuple[RawOption, ...]:
    """Pairs of name and text as options of one origin."""
    return tuple(RawOption(name.replace("_", "-"), value, origin) for name, value in pairs)


def _texts(name: str, value: object, origin: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{key}={_text(name, item, origin)}"
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield _text(name, item, origin)
    elif value is not None:  # None is "not set"
        yield _text(name, value, origin)


def _text(name: str, value: object, origin: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _mode(name, value, origin) if _is_mode(name) else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, timedelta):
        return f"{value / timedelta(milliseconds=1):g}ms"
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise ConfigError(origin, f"'{name}' cannot be of type {type(value).__name__}", hint="use a string, number or list")


def _is_mode(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name][0].kind is Kind.MODE


def _mode(name: str, value: int, origin: str) -> str:
    """A Python number is the mode itself (0o660); 660 without the 0o would be a very different one."""
    if not 0 <= value <= 0o777:
        raise ConfigError(origin, f"'{name}' is not a file mode: {value}", hint=f"write 0o{value} or '{value}'")
    return f"{value:03o}"
