"""All options of all sources in one list, with files read in their place; decides nothing.

Variables are resolved only where the name of a file or a condition needs them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from uwsgi_deploy.config.controls import CONTROLS_BY_NAME
from uwsgi_deploy.config.convert import parse_flag
from uwsgi_deploy.config.expand import Expander, Usage
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.known import KNOWN_NAMES
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.schema import BY_NAME
from uwsgi_deploy.config.sources.env import environment_options
from uwsgi_deploy.config.sources.files import LOADERS, FileReader
from uwsgi_deploy.errors import ConfigError

LEGACY_ORDER = "legacy-order"


class Layer(IntEnum):
    """Where an option came from, in order of strength."""

    DEFAULTS = 0
    PLATFORM = 1
    FILES = 2
    FRAMEWORK = 3
    ENVIRONMENT = 4
    COMMAND_LINE = 5


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything options may come from. `defaults` are a framework's own, `framework` what its user set."""

    command_line: tuple[RawOption, ...] = ()
    framework: tuple[RawOption, ...] = ()
    defaults: tuple[RawOption, ...] = ()
    facts: Facts = field(default_factory=Facts)


class Written(Enum):
    """How a name came into the list: plainly, by `set`, or by `set-placeholder`."""

    PLAINLY = "plainly"
    SET = "set"
    PLACEHOLDER = "placeholder"


@dataclass(frozen=True, slots=True)
class Record:
    """One option in uWSGI's list, and how strong it is."""

    raw: RawOption
    layer: Layer
    written: Written = Written.PLAINLY


class Gathering:
    """One pass over the sources. `legacy_order` says whether somebody asked for uWSGI's single list."""

    def __init__(self, sources: Sources, usage: Usage, warnings: list[str]) -> None:
        self._listed = (
            *((raw, Layer.FRAMEWORK) for raw in sources.framework),
            *((raw, Layer.ENVIRONMENT) for raw in environment_options(sources.facts.environ)),
            *((raw, Layer.COMMAND_LINE) for raw in sources.command_line),
        )
        self.legacy_order = any(is_on(raw) for raw, _layer in self._listed if raw.name == LEGACY_ORDER)
        self._records: list[Record] = []
        self._inherited: list[RawOption] = []
        expander = Expander(sources.facts.environ, self._so_far, reader_of(sources.facts), usage)
        self._files = FileReader(sources.facts, warnings.append, self._so_far, expander)

    def records(self) -> list[Record]:
        """In uWSGI's order with `legacy-order`; otherwise files last, so that their conditions see everything else."""
        listed = self._listed if self.legacy_order else sorted(self._listed, key=lambda item: _names_file(item[0]))
        for raw, layer in listed:
            self._take(raw, layer)
        while self._inherited:
            self._read(self._inherited.pop(0))
        return self._records

    def _so_far(self, name: str) -> str | None:
        return next((record.raw.text for record in self._records if record.raw.name == name), None)

    def _take(self, raw: RawOption, layer: Layer) -> None:
        if raw.name == "inherit":
            self._inherited.append(raw)
        elif _names_file(raw):
            self._read(raw)
        elif raw.name in ("set", "set-placeholder", "set-ph"):
            self._records.append(_assignment(raw, layer))
        else:
            self._records.append(Record(raw, layer))

    def _read(self, raw: RawOption) -> None:
        if not raw.value:
            raise ConfigError(raw.origin, f"'{raw.name}' needs the name of a file")
        for option in self._files.options(self._files.expand_now(raw.value, raw.origin), raw.origin):
            if option.name == LEGACY_ORDER:
                raise ConfigError(option.origin, f"'{LEGACY_ORDER}' is too late in a file", hint="use the command line")
            self._take(option, Layer.FILES)


def _names_file(raw: RawOption) -> bool:
    return raw.name in LOADERS or raw.name == "inherit"


def reader_of(facts: Facts) -> Callable[[str], str]:
    """How `@(file)` reads: relative names start where the server was started."""

    def read(name: str) -> str:
        with open(os.path.join(facts.cwd, name), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    return read


def _assignment(raw: RawOption, layer: Layer) -> Record:
    """`set = name=value` is a line `name = value`; the placeholder form must not hit an option."""
    name, equals, value = (raw.value or "").partition("=")
    if not name.strip() or not equals:
        raise ConfigError(raw.origin, f"'{raw.name}' needs NAME=VALUE, not '{raw.value or ''}'")
    name = name.strip()
    placeholder = raw.name != "set"
    if placeholder and (name in BY_NAME or name in CONTROLS_BY_NAME or name in KNOWN_NAMES):
        raise ConfigError(raw.origin, f"'{name}' is an option, it cannot be a placeholder", hint="use another name")
    written = Written.PLACEHOLDER if placeholder else Written.SET
    return Record(RawOption(name, value.strip(), raw.origin), layer, written)


def is_on(raw: RawOption) -> bool:
    value = parse_flag((raw.value or "").strip())
    if value is None:
        raise ConfigError(raw.origin, f"'{raw.name}' must be true or false, not '{raw.value}'")
    return value


def first_of_all(records: Iterable[Record]) -> dict[str, str]:
    """What `%(name)` means in uWSGI: the first of that name that has a value."""
    found: dict[str, str] = {}
    for record in records:
        if record.raw.value is not None:
            found.setdefault(record.raw.name, record.raw.value)
    return found


def first_of_strongest(records: Sequence[Record]) -> dict[str, str]:
    """What `%(name)` means here: the strongest layer's, and of one layer the first, as in uWSGI."""
    return first_of_all(sorted(records, key=lambda record: -record.layer))
