"""Text with references as a function of the request: `config.routing_text` says what may stand in it."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import TypeAlias

from uwsgi_deploy.config.routing_text import Function, Group, Part, Text, Variable
from uwsgi_deploy.protocol.http_dates import format_date
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.wsgi.media_types import type_of, types_by_suffix
from uwsgi_deploy.wsgi.routing.chain import Visit

Render: TypeAlias = Callable[[Visit], str]

_CONTROLS = dict.fromkeys((*range(32), 127), " ")


@dataclass(slots=True)
class Surroundings:
    """What rules need of the server. limit: gives the request so many seconds from now on, 0 for no such limit.

    wid: the worker's number; set in each worker.
    """

    log: Callable[[str], None]
    limit: Callable[[float], object]
    mime_files: tuple[str, ...] = ()
    static_safe: tuple[str, ...] = ()
    wid: int = 0
    _types: dict[str, str] = field(default_factory=dict)

    def types(self) -> dict[str, str]:
        """Media types by suffix, read when they are wanted."""
        if not self._types:
            self._types.update(types_by_suffix(self.mime_files, log=self.log))
        return self._types


def cleaned(text: str) -> str:
    """Text for a header or a line of the log: what could end either becomes a blank."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def renderer(text: Text, around: Surroundings) -> Render:
    """The function that makes the text for a request."""
    constant = text.constant
    if constant is not None:
        return lambda _visit: constant
    parts = [_part(part, around) for part in text.parts]
    if len(parts) == 1:
        return parts[0]
    return lambda visit: "".join([part(visit) for part in parts])


def variable(environ: Environ, name: str) -> str:
    """A request variable; nothing for what is not there or no text."""
    value = environ.get(name)
    return value if isinstance(value, str) else ""


def number(text: str) -> int:
    """The whole number that text begins with, 0 where there is none: as C reads numbers, and uWSGI."""
    match = _NUMBER.match(text)
    return int(match[0]) if match else 0


# No more digits than fit: a long row of them takes quadratic time.
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,30}")


def _part(part: Part, around: Surroundings) -> Render:
    if isinstance(part, str):
        return lambda _visit: part
    if isinstance(part, Group):
        index = part.number
        return lambda visit: visit.match[index] or ""
    if isinstance(part, Variable):
        name = part.name
        return lambda visit: variable(visit.environ, name)
    return FUNCTIONS[part.name](part, around)


def _cookie(function: Function, _around: Surroundings) -> Render:
    name = function.argument

    def render(visit: Visit) -> str:
        for pair in variable(visit.environ, "HTTP_COOKIE").split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals and key == name:
                return value
        return ""

    return render


def _query(function: Function, _around: Surroundings) -> Render:
    name = function.argument

    def render(visit: Visit) -> str:
        for pair in variable(visit.environ, "QUERY_STRING").split("&"):
            key, _, value = pair.partition("=")
            if key == name:  # as it was sent, as in uWSGI: so it can go into a URL
                return value
        return ""

    return render


def _mime(function: Function, around: Surroundings) -> Render:
    types, name = around.types(), function.argument
    return lambda visit: type_of(variable(visit.environ, name), types)


def _uwsgi(function: Function, around: Surroundings) -> Render:
    return {
        "wid": lambda _visit: str(around.wid),
        "pid": lambda _visit: str(os.getpid()),
        "uuid": lambda _visit: _uuid(),
        "status": lambda visit: str(visit.status),
    }[function.argument]


def _uuid() -> str:
    """A random one (RFC 9562 §5.4)."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def _time(function: Function, _around: Surroundings) -> Render:
    factor = 1 if function.argument == "unix" else 1_000_000
    return lambda _visit: str(int(time() * factor))


def _http_time(function: Function, _around: Surroundings) -> Render:
    seconds = int(function.argument or 0)
    return lambda _visit: format_date(int(time()) + seconds)


def _of_variable(change: Callable[[str], str]) -> Callable[[Function, Surroundings], Render]:
    def make(function: Function, _around: Surroundings) -> Render:
        name = function.argument
        return lambda visit: change(variable(visit.environ, name))

    return make


def _math(function: Function, _around: Surroundings) -> Render:
    tokens = re.findall(r"\w+|[-+*/()]", function.argument, re.ASCII)
    return lambda visit: str(_Calculation(tokens, visit.environ).result())


class _Calculation:
    """Whole numbers, request variables, + - * / and brackets; what cannot be calculated is 0."""

    def __init__(self, tokens: list[str], environ: Environ) -> None:
        self._tokens, self._environ = tokens[::-1], environ

    def result(self) -> int:
        value = self._product()
        while self._next_is("+-"):
            sign = 1 if self._tokens.pop() == "+" else -1
            value += sign * self._product()
        return value

    def _product(self) -> int:
        value = self._factor()
        while self._next_is("*/"):
            value = value * self._factor() if self._tokens.pop() == "*" else divided(value, self._factor())
        return value

    def _factor(self) -> int:
        token = self._tokens.pop() if self._tokens else "0"
        if token == "-":
            return -self._factor()
        if token == "(":
            value = self.result()
            if self._tokens:
                self._tokens.pop()
            return value
        return number(token if token.isdigit() else variable(self._environ, token))

    def _next_is(self, signs: str) -> bool:
        return bool(self._tokens) and self._tokens[-1] in signs


def divided(left: int, right: int) -> int:
    """Towards zero, as in C; 0 where there is nothing to divide by."""
    if not right:
        return 0
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


FUNCTIONS: dict[str, Callable[[Function, Surroundings], Render]] = {
    "cookie": _cookie,
    "qs": _query,
    "mime": _mime,
    "uwsgi": _uwsgi,
    "time": _time,
    "httptime": _http_time,
    "base64": _of_variable(lambda text: b64encode(text.encode("latin-1", "replace")).decode()),
    "hex": _of_variable(lambda text: text.encode("latin-1", "replace").hex().upper()),
    # Of bytes: the capital of a Latin-1 letter may be none.
    "upper": _of_variable(lambda text: text.encode("latin-1", "replace").upper().decode("latin-1")),
    "lower": _of_variable(lambda text: text.encode("latin-1", "replace").lower().decode("latin-1")),
    "math": _math,
}
"""`${name[argument]}` to what makes its function."""
