"""The grammar of ini files, as uWSGI reads them. Text in, options out; opens no file and resolves no condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from uwsgi_deploy.config.raw import RawOption

BLANKS = " \t\r"


@dataclass(frozen=True, slots=True)
class IniSection:
    """The options of one section in order, and the names of all sections of the text."""

    options: tuple[RawOption, ...]
    section_names: tuple[str, ...]


def parse_ini(text: str, *, section: str, file: str, magic: Callable[[str, str], str]) -> IniSection:
    """The options of `[section]`. `magic(line, origin)` replaces `%x`; it sees section names and the lines that count.

    No quoting, no continuation lines, no comments after values: everything behind the first `=` is the value.
    A byte order mark is skipped.
    """
    names: list[str] = []
    options: list[RawOption] = []
    inside = False
    for origin, line in _lines(text.removeprefix("\ufeff"), file):
        if line.startswith("["):
            names.append(magic(line, origin)[1:-1])
            inside = names[-1] == section
        elif inside:
            options.append(_option(magic(line, origin), origin))
    return IniSection(tuple(options), tuple(dict.fromkeys(names)))


def _lines(text: str, file: str) -> Iterator[tuple[str, str]]:
    """Every line that is neither empty nor a comment, with its place."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip(BLANKS)
        if line and line[0] not in ";#":
            yield f"{file}:{number}", line


def _option(line: str, origin: str) -> RawOption:
    name, equals, value = line.partition("=")
    return RawOption(name.strip(BLANKS), value.strip(BLANKS) if equals else None, origin)
