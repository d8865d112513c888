"""Reads configuration files in uWSGI's order: magic, sections, conditions, files that name files.

Stateful only as reading is: the last file (for `:section`), the first one (for the capital `%D`), the options so far.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from uwsgi_deploy.config.expand import Expander, apply_magic, frozen_magic, magic_of_file
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.known import not_available
from uwsgi_deploy.config.logic import Logic, World
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.ini import parse_ini
from uwsgi_deploy.errors import ConfigError

DEFAULT_SECTION = "uwsgi"
LOADERS = frozenset({"ini", "include", "config"})
"""Options whose value is a file that is read in their place."""

_SCHEME = re.compile(r"(?P<scheme>[a-z]+)://")
_OTHER_FORMAT = re.compile(r".+\.(?P<format>ya?ml|json|js|xml|toml)(:[^/]*)?")


@dataclass(slots=True)
class FileReader:
    """Turns a file name into options. `warn` is told what stayed odd; `option` finds options read so far."""

    facts: Facts
    warn: Callable[[str], None]
    option: Callable[[str], str | None]
    expander: Expander
    last_file: str = ""
    capitals: dict[str, str] = field(default_factory=dict)
    open_files: list[tuple[str, str]] = field(default_factory=list)

    def options(self, reference: str, origin: str) -> Iterator[RawOption]:
        """The options of `FILE`, `FILE:section` or `:section`, those of included files in their place."""
        file, section = self._locate(reference, origin)
        identity = (file, section or DEFAULT_SECTION)
        if identity in self.open_files:
            raise ConfigError(origin, f"'{reference}' includes itself")
        self.open_files.append(identity)
        logic = Logic(World(self.facts, self.option, self.expander.usage), self.expand_now)
        for raw in self._parse(file, section, origin):
            for line in logic.lines(raw):
                if line.name in LOADERS and line.value:
                    yield from self.options(self.expand_now(line.value, line.origin), line.origin)
                else:
                    yield line
        logic.finish()
        self.open_files.pop()

    def expand_now(self, text: str, origin: str) -> str:
        """References that must be known while files are read: environment, and options above."""
        return self.expander.expand(text, origin)

    def _locate(self, reference: str, origin: str) -> tuple[str, str]:
        scheme = _SCHEME.match(reference)
        if scheme:
            raise ConfigError(
                origin, f"'{reference}' is not read: this server takes files only, not '{scheme['scheme']}://'"
            )
        other = _OTHER_FORMAT.fullmatch(reference)
        if other:
            raise ConfigError(origin, not_available(other["format"]))
        file, _colon, section = reference.partition(":")
        if not file:
            file = self.last_file
        if not file:
            raise ConfigError(origin, f"'{reference}' names a section, but no file was read before it")
        self.last_file = file
        return file, section

    def _parse(self, file: str, section: str, origin: str) -> tuple[RawOption, ...]:
        table = self._magic_table(file, section)
        name = "standard input" if file == "-" else file

        def magic(line: str, place: str) -> str:
            return apply_magic(line, table, lambda letter: self.warn(_unknown_magic(letter, place)))

        found = parse_ini(self._read(file, origin), section=section or DEFAULT_SECTION, file=name, magic=magic)
        if not found.options and (section or DEFAULT_SECTION) not in found.section_names:
            self._missing_section(name, section, found.section_names, origin)
        return found.options

    def _magic_table(self, file: str, section: str) -> dict[str, str]:
        table = magic_of_file(file, section, self.facts)
        self.capitals = self.capitals or frozen_magic(table)
        return {**self.capitals, **table}

    def _read(self, file: str, origin: str) -> str:
        try:
            if file == "-":
                return sys.stdin.read()
            path = os.path.join(self.facts.cwd, file)
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
                return handle.read()
        except OSError as error:
            raise ConfigError(origin, f"cannot read the configuration file '{file}': {error.strerror}") from error

    def _missing_section(self, file: str, section: str, others: tuple[str, ...], origin: str) -> None:
        there = f"its sections are {', '.join(f'[{name}]' for name in others)}" if others else "it has no sections"
        if section:
            raise ConfigError(origin, f"{file} has no section [{section}]", hint=there)
        self.warn(f"{file}: no section [{DEFAULT_SECTION}], nothing was read from it ({there})")


def _unknown_magic(letter: str, place: str) -> str:
    return f"{place}: '%{letter}' means nothing and is kept as it is (write '%%' for a percent sign)"
