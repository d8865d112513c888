"""All option names, derived from the settings dataclasses. Nothing is declared here and nothing is read here.

`BY_NAME` answers what a name means wherever it was written; `nearest` what somebody may have meant instead.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from uwsgi_deploy.config.controls import CONTROLS_BY_NAME
from uwsgi_deploy.config.known import KNOWN_NAMES
from uwsgi_deploy.config.option import METADATA_KEY, Declaration
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.types import BYTES, KIBIBYTES, MEBIBYTES, MILLISECONDS, OCTAL, SECONDS, Unit


class Kind(Enum):
    """What the text of an option's value has to look like."""

    FLAG = "true or false"
    TEXT = "text"
    INTEGER = "number"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    BYTES = "bytes"
    KIBIBYTES = "KiB"
    MEBIBYTES = "MiB"
    MODE = "octal mode"


KIND_OF_UNIT: Mapping[Unit, Kind] = {
    SECONDS: Kind.SECONDS,
    MILLISECONDS: Kind.MILLISECONDS,
    BYTES: Kind.BYTES,
    KIBIBYTES: Kind.KIBIBYTES,
    MEBIBYTES: Kind.MEBIBYTES,
    OCTAL: Kind.MODE,
}
UNIT_OF_KIND: Mapping[Kind, Unit] = {kind: unit for unit, kind in KIND_OF_UNIT.items()}
KIND_OF_TYPE: Mapping[object, Kind] = {bool: Kind.FLAG, int: Kind.INTEGER, str: Kind.TEXT, tuple[str, ...]: Kind.TEXT}


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One option: the field that holds it and every name it goes by."""

    name: str
    section: str
    field: str
    kind: Kind
    aliases: tuple[str, ...]
    short_flags: tuple[str, ...]
    inverse: tuple[str, ...]
    help: str
    default: object
    repeatable: bool
    choices: tuple[str, ...]
    optional_value: str | None
    always: bool
    distinct: bool

    @property
    def takes_value(self) -> bool:
        """A flag needs no value; everything else does, unless it has an optional one."""
        return self.kind is not Kind.FLAG

    @property
    def positive_names(self) -> tuple[str, ...]:
        """The names that set the option, short flags last."""
        return (self.name, *self.aliases, *self.short_flags)


def _kind(annotation: object) -> tuple[Kind, bool]:
    """The kind of a field's annotation, and whether the option may be repeated."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    for extra in getattr(annotation, "__metadata__", ()):
        if extra in KIND_OF_UNIT:
            return KIND_OF_UNIT[extra], False
    return KIND_OF_TYPE[annotation], annotation == tuple[str, ...]


def _specs_of(section: str, settings_class: type) -> Iterator[OptionSpec]:
    annotations = typing.get_type_hints(settings_class, include_extras=True)
    for field in dataclasses.fields(settings_class):
        declaration: Declaration = field.metadata[METADATA_KEY]
        kind, repeatable = _kind(annotations[field.name])
        yield OptionSpec(
            name=field.name.replace("_", "-"),
            section=section,
            field=field.name,
            kind=kind,
            aliases=tuple(alias for alias in declaration.aliases if not alias.startswith("-")),
            short_flags=tuple(alias for alias in declaration.aliases if alias.startswith("-")),
            inverse=declaration.inverse,
            help=declaration.help,
            default=field.default,
            repeatable=repeatable,
            choices=declaration.choices,
            optional_value=declaration.optional_value,
            always=declaration.always,
            distinct=declaration.distinct,
        )


def sections() -> dict[str, type]:
    """The settings classes by the name of their field in `Settings`, in the order of `--help`."""
    hints = typing.get_type_hints(Settings)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(Settings)
        if field.default_factory is not dataclasses.MISSING
    }


OPTIONS: tuple[OptionSpec, ...] = tuple(
    spec for section, settings_class in sections().items() for spec in _specs_of(section, settings_class)
)
"""Every option of the server, by section."""

BY_NAME: Mapping[str, tuple[OptionSpec, bool]] = {
    **{name: (spec, False) for spec in OPTIONS for name in spec.positive_names},
    **{name: (spec, True) for spec in OPTIONS for name in spec.inverse},
}
"""Name, alias or short flag (`-p`) to its option; True for a name that means "not this"."""

ALL_NAMES: tuple[str, ...] = tuple(
    name for name in dict.fromkeys((*BY_NAME, *CONTROLS_BY_NAME, *sorted(KNOWN_NAMES))) if not name.startswith("-")
)
"""Every long name that means something, this version's options first."""


def nearest(name: str) -> str | None:
    """The name that was probably meant, or None when nothing is close enough to be a help."""
    wanted = name.strip().lstrip("-").lower().replace("_", "-")
    if wanted in BY_NAME or wanted in CONTROLS_BY_NAME:
        return wanted
    longer = [known for known in BY_NAME if len(wanted) > 3 and known.startswith(wanted)]
    if longer:  # getopt would take an abbreviation; here it is spelt out
        return min(longer, key=len)
    # In three letters one wrong one is a different word: `app` is not a misspelt `pp`.
    close = difflib.get_close_matches(wanted, ALL_NAMES, n=1, cutoff=0.72 if len(wanted) > 3 else 0.85)
    return close[0] if close else None


def did_you_mean(name: str, *, prefix: str = "") -> str:
    """A hint for an unknown name, or an empty string."""
    close = nearest(name)
    return f"did you mean '{prefix}{close}'?" if close else ""
