"""Variables in configuration text: `%n` magic of files, `$(ENVIRONMENT)`, `@(file)`, `%(option or variable)`.

Differs from uWSGI where uWSGI loses text: a `%x` that means nothing stays as it is (with a warning) instead of
vanishing, brackets in calculations nest, and a variable that refers to itself is an error instead of a hang.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.errors import ConfigError

_SCHEME = re.compile(r"[a-z]+://")
_ENVIRONMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?-)(?P<default>.*))?", re.DOTALL)
_TOKEN = re.compile(r"\(|\)|[^\s()]+")

FROZEN_MAGIC = "opsnedcxij"
"""Magic letters whose capitals mean the first configuration file."""


def magic_of_file(reference: str, section: str, facts: Facts) -> dict[str, str]:
    """The `%x` table of one file. `reference` is the file name as given; facts of a path are empty for `-` (stdin)."""
    table = {
        "%": "%",
        "(": "%(",
        "[": "\x1b",
        "o": reference,
        "x": section,
        "b": facts.binary,
        "v": facts.cwd,
        "h": facts.hostname,
        "k": str(facts.cpus),
        "u": str(facts.uid),
        "U": facts.user,
        "g": str(facts.gid),
        "G": facts.group,
        "t": str(int(facts.now)),
        "T": str(int(facts.now * 1_000_000)),
        "V": facts.version,
    }
    return table | ({} if reference == "-" else _magic_of_path(reference, facts))


def _magic_of_path(reference: str, facts: Facts) -> dict[str, str]:
    joined = os.path.normpath(os.path.join(facts.cwd, reference))
    # uWSGI keeps the name of a symbolic link, so that one file can serve several sites under several names.
    path = joined if os.path.islink(joined) else os.path.realpath(joined)
    directory, base = os.path.split(path)
    name, dot, extension = base.rpartition(".")
    parts = directory.strip("/").split("/") if directory != "/" else []
    return {
        "p": path,
        "s": base,
        "n": name if dot else base,
        "e": extension if dot else "",
        "d": directory.rstrip("/") + "/",
        "c": parts[-1] if parts else "",
        "i": _inode(path),
        "j": f"{_djb33x(path):x}",
        **{str(index): parts[index] if index < len(parts) else "" for index in range(10)},
    }


def _inode(path: str) -> str:
    try:
        return str(os.stat(path).st_ino)
    except OSError:
        return ""


def _djb33x(text: str) -> int:
    """Bernstein's hash with xor, 32 bits: uWSGI's `%j`."""
    value = 5381
    for byte in os.fsencode(text):
        value = ((value * 33) ^ byte) & 0xFFFFFFFF
    return value


def frozen_magic(table: Mapping[str, str]) -> dict[str, str]:
    """The capitals for every later file, from the table of the first one."""
    return {letter.upper(): table.get(letter, "") for letter in FROZEN_MAGIC}


def apply_magic(line: str, table: Mapping[str, str], unknown: Callable[[str], None]) -> str:
    """`line` with its `%x` replaced; `unknown` hears about each one that means nothing and stays."""
    first, *rest = re.split(r"%(.)", line)
    out = [first]
    for letter, text in zip(rest[::2], rest[1::2], strict=True):
        if letter in table:
            out.append(table[letter])
        else:
            unknown(letter)
            out.append("%" + letter)
        out.append(text)
    return "".join(out)


@dataclass(frozen=True, slots=True)
class Usage:
    """The names that some text or condition refers to: what is used is no mistake, even if it is no option."""

    environment: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Expander:
    """Resolves the three kinds of references; notes in `usage` what was referred to.

    `variable` returns the unexpanded text of an option or variable, `read` the contents of a file.
    """

    environ: Mapping[str, str]
    variable: Callable[[str], str | None]
    read: Callable[[str], str]
    usage: Usage
    unresolved: list[str] = field(default_factory=list)

    def expand(self, text: str, origin: str) -> str:
        """`text` with all it refers to; `unresolved` then holds the references that stayed as they were."""
        self.unresolved.clear()
        return self._expand(text, origin, ())

    def _expand(self, text: str, origin: str, trail: tuple[str, ...]) -> str:
        text = _substitute(text, "$", lambda inner: self._environment(inner, origin, trail))
        text = _substitute(text, "@", lambda inner: self._file(inner, origin))
        return _substitute(text, "%", lambda inner: self._variable(inner, origin, trail))

    def _environment(self, inner: str, origin: str, trail: tuple[str, ...]) -> str | None:
        match = _ENVIRONMENT.fullmatch(inner)
        name = match["name"] if match else inner
        self.usage.environment.add(name)
        value = self.environ.get(name)
        if match and match["operator"] and (value is None or (value == "" and match["operator"] == ":-")):
            value = match["default"]
        if value is None:
            self.unresolved.append(f"$({inner})")
            return None
        step = f"$({name})"
        _refuse_circle(step, origin, trail)
        return _substitute(value, "$", lambda nested: self._environment(nested, origin, (*trail, step)))

    def _file(self, inner: str, origin: str) -> str | None:
        if not inner:
            return None
        if _SCHEME.match(inner):
            scheme = inner.partition("://")[0]
            raise ConfigError(
                origin,
                f"@({inner}) is not read: this server takes files only, not '{scheme}://'",
                hint="put the text into a file or an environment variable",
            )
        try:
            return self.read(inner).removesuffix("\n")
        except OSError as error:
            raise ConfigError(origin, f"@({inner}) cannot be read: {error.strerror}") from error

    def _variable(self, inner: str, origin: str, trail: tuple[str, ...]) -> str | None:
        tokens = _TOKEN.findall(inner)
        if len(tokens) > 1:
            return self._calculate(inner, tokens, origin, trail)
        value = self._value(inner, origin, trail)
        if value is None and inner:
            self.unresolved.append(f"%({inner})")
        return value

    def _value(self, name: str, origin: str, trail: tuple[str, ...]) -> str | None:
        self.usage.variables.add(name)
        value = self.variable(name)
        if value is None:
            return None
        step = f"%({name})"
        _refuse_circle(step, origin, trail)
        return self._expand(value, origin, (*trail, step))

    def _calculate(self, inner: str, tokens: list[str], origin: str, trail: tuple[str, ...]) -> str | None:
        def value_of(name: str) -> str:
            value = self._value(name, origin, trail)
            if value is None:
                raise _UnknownNameError(name)
            return value

        try:
            return Calculation(tokens, value_of).result()
        except _UnknownNameError:
            self.unresolved.append(f"%({inner})")
            return None
        except ZeroDivisionError:
            raise ConfigError(origin, f"%({inner}) divides by zero") from None
        except ValueError as error:
            raise ConfigError(origin, f"%({inner}) cannot be calculated: {error}") from None


class _UnknownNameError(Exception):
    """A calculation names something that is not set."""


OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left // right,
}


@dataclass(slots=True)
class Calculation:
    """uWSGI's calculator: strictly left to right, whole numbers, and words side by side are joined.

    Raises ValueError for what is no calculation, ZeroDivisionError, and whatever `value_of` raises.
    """

    tokens: list[str]
    value_of: Callable[[str], str]

    def result(self) -> str:
        """Consume tokens up to the end or to the bracket that closes this group."""
        value = ""
        while self.tokens and (token := self.tokens.pop(0)) != ")":
            value = self._apply(token, value) if token in OPERATORS else value + self._operand(token)
        return value

    def _apply(self, operator: str, left: str) -> str:
        if not self.tokens:
            raise ValueError(f"nothing follows '{operator}'")
        right = self._operand(self.tokens.pop(0))
        try:
            return str(OPERATORS[operator](int(left), int(right)))
        except ValueError:
            raise ValueError(f"'{left} {operator} {right}'") from None

    def _operand(self, token: str) -> str:
        if token == "(":
            return self.result()
        if token == "%" and self.tokens:  # the head of a nested %(name)
            return self._operand(self.tokens.pop(0))
        return token if token.isdigit() else self.value_of(token)


def _refuse_circle(step: str, origin: str, trail: tuple[str, ...]) -> None:
    if step in trail:
        raise ConfigError(origin, f"{step} refers to itself: {' -> '.join((*trail, step))}")


def _substitute(text: str, trigger: str, replace: Callable[[str], str | None]) -> str:
    """Every `trigger(...)` with balanced brackets replaced; one for which `replace` knows nothing stays."""
    out, position = [], 0
    while (start := text.find(trigger + "(", position)) >= 0:
        end = _closing_bracket(text, start + 1)
        if end < 0:
            break
        replacement = replace(text[start + 2 : end])
        out.append(text[position:start])
        out.append(text[start : end + 1] if replacement is None else replacement)
        position = end + 1
    return "".join(out) + text[position:]


def _closing_bracket(text: str, opening: int) -> int:
    depth = 0
    for index in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return -1
