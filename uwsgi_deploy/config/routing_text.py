"""Text of routing rules with what is put into it for each request: `$1`, `${HTTP_HOST}`, `${cookie[session]}`. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

FUNCTIONS = frozenset({"cookie", "qs", "mime", "uwsgi", "time", "httptime", "base64", "hex", "upper", "lower", "math"})
"""What `${name[argument]}` may call."""
UWSGI_FACTS = frozenset({"wid", "pid", "uuid", "status"})
"""What `${uwsgi[...]}` knows."""
TIMES = frozenset({"unix", "micros", "unix_micros"})
_REFUSED_FUNCTIONS = {
    "metric": "there are no metrics",
    "geoip": "there is no GeoIP database",
    "snmp": "there is no SNMP",
}

_REFERENCE = re.compile(r"\$(?:(?P<group>[0-9])|\{(?P<inside>[^}]*)(?P<end>\})?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)(?:\[(?P<argument>.*)\])?", re.ASCII)
_MATH = re.compile(r"[\w\s+*/()-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Group:
    """`$1`: what a group of the rule's regular expression matched; 0 is the whole match."""

    number: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`${NAME}`: a request variable, or nothing."""

    name: str


@dataclass(frozen=True, slots=True)
class Function:
    """`${name[argument]}`."""

    name: str
    argument: str


Part: TypeAlias = str | Group | Variable | Function


@dataclass(frozen=True, slots=True)
class Text:
    """Text with references, in parts. As in request variables (PEP 3333), its bytes are kept as Latin-1."""

    parts: tuple[Part, ...]

    @property
    def constant(self) -> str | None:
        """The text, if it is the same for all requests."""
        return None if any(not isinstance(part, str) for part in self.parts) else "".join(map(str, self.parts))

    @property
    def beginning(self) -> str:
        """What it begins with for all requests."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""


def as_bytes_text(text: str) -> str:
    """Text of the configuration as it would be in a request variable: its bytes as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def text_of(written: str, groups: int | None) -> Text:
    """Read text. groups: how many the rule's regular expression has, None where there is none. Raises ValueError."""
    parts: list[Part] = []
    at = 0
    for match in _REFERENCE.finditer(written):
        if before := written[at : match.start()]:
            parts.append(as_bytes_text(before))
        parts.append(_part(match, groups))
        at = match.end()
    if rest := written[at:]:
        parts.append(as_bytes_text(rest))
    return Text(tuple(parts))


def near(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    close = difflib.get_close_matches(name.lower(), list(known), 1, 0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _part(match: re.Match[str], groups: int | None) -> Part:
    if match["group"] is not None:
        number = int(match["group"])
        if groups is None:
            raise ValueError(f"'${number}' is what a regular expression has matched, and this rule has none")
        if number > groups:
            raise ValueError(f"'${number}' is a group that the rule's regular expression does not have")
        return Group(number)
    if match["end"] is None:
        raise ValueError(f"'{match[0]}' has no end: write ${{NAME}}")
    inside = _INSIDE.fullmatch(match["inside"])
    if inside is None:
        raise ValueError(f"'{match[0]}' is neither ${{NAME}} nor ${{function[argument]}}")
    name, argument = inside["name"], inside["argument"]
    if argument is None:
        return Variable(name)
    if name in _REFUSED_FUNCTIONS:
        raise ValueError(f"'{match[0]}' cannot be known: {_REFUSED_FUNCTIONS[name]} in this server")
    if name not in FUNCTIONS:
        raise ValueError(f"there is no function '{name}' for '{match[0]}'{near(name, FUNCTIONS)}")
    _check_argument(name, argument, match[0])
    return Function(name, argument)


def _check_argument(name: str, argument: str, written: str) -> None:
    choices = {"uwsgi": UWSGI_FACTS, "time": TIMES}.get(name)
    if choices is not None and argument not in choices:
        raise ValueError(f"'{written}' is not known; there are {', '.join(sorted(choices))}")
    if name == "httptime" and argument and not argument.lstrip("+-").isdigit():
        raise ValueError(f"'{written}' needs seconds from now, or nothing")
    if name == "math" and not _MATH.fullmatch(argument):
        raise ValueError(f"'{written}' is no calculation with numbers, variables, + - * / and brackets")
