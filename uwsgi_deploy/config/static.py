"""What the values of the options about static files mean. Pure; every mistake is a ValueError with a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from uwsgi_deploy.config.settings.static import StaticSettings
from uwsgi_deploy.types import SECONDS

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", re.IGNORECASE)
_REGEXP_AND_TIME = re.compile(r"(?P<pattern>.*\S)\s+(?P<time>\S+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Paths that begin with `prefix` (no slash at its end) are files below `place`, or the file `place`.

    keeps_prefix: whether the prefix is a part of the path below `place`.
    """

    prefix: str
    place: str
    keeps_prefix: bool = False


class Subject(Enum):
    """What an expiry rule looks at."""

    REQUEST_URI = "static-expires-uri"
    PATH_INFO = "static-expires-path-info"
    TYPE = "static-expires-type"
    FILE = "static-expires"


@dataclass(frozen=True, slots=True)
class Expiry:
    """A rule how long clients may keep what they got, in seconds from now or from the file's change.

    pattern: searched in the subject; of a type it matches the whole.
    """

    subject: Subject
    pattern: re.Pattern[str]
    seconds: float
    since_change: bool


def mapping_of(value: str, *, keeps_prefix: bool = False) -> Mapping:
    """Read `/prefix=/place`."""
    prefix, equals, place = (part.strip() for part in value.partition("="))
    if not equals or not place:
        raise ValueError(f"needs /prefix=/directory, not '{value}'")
    if not prefix.startswith("/"):
        raise ValueError(f"'{prefix}' is not the beginning of a path: write /{prefix}={place}")
    return Mapping(prefix.rstrip("/"), place, keeps_prefix)


def mappings_of(settings: StaticSettings) -> tuple[Mapping, ...]:
    """Everything that leads from paths to files, in the order in which it is looked at (uWSGI's)."""
    return (
        *(Mapping("", place) for place in settings.check_static),
        *(mapping_of(value) for value in settings.static_map),
        *(mapping_of(value, keeps_prefix=True) for value in settings.static_map2),
    )


def serves_files(settings: StaticSettings) -> bool:
    """Whether anything leads to files; the other options only say how."""
    return bool(settings.static_map or settings.static_map2 or settings.check_static)


def regexp_of(value: str) -> re.Pattern[str]:
    """A regular expression, searched as uWSGI does: anywhere."""
    try:
        return re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value}' is no regular expression: {error}") from None


def expiries_of(settings: StaticSettings) -> tuple[Expiry, ...]:
    """All expiry rules, in the order in which they are tried: what the URL says comes before what the file is."""
    rules: list[Expiry] = []
    for subject in Subject:
        field = subject.value.replace("-", "_")
        for name, since_change in ((field, False), (f"{field}_mtime", True)):
            for value in getattr(settings, name):
                rules.append(_expiry_of(subject, value, since_change=since_change))
    return tuple(rules)


def _expiry_of(subject: Subject, value: str, *, since_change: bool) -> Expiry:
    if subject is Subject.TYPE:
        kind, equals, time = (part.strip() for part in value.partition("="))
        if not equals:
            raise ValueError(f"needs TYPE=SECONDS, not '{value}'")
        pattern = re.compile(rf"\A{re.escape(kind.lower())}\Z")
    else:
        match = _REGEXP_AND_TIME.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"needs REGEXP SECONDS, not '{value}'")
        pattern, time = regexp_of(match["pattern"]), match["time"]
    return Expiry(subject, pattern, _seconds(time), since_change)


def _seconds(text: str) -> float:
    match = _TIME.fullmatch(text)
    factor = {"": 1.0, **dict(SECONDS.suffixes)}.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"the time must be seconds, or such as 30d, not '{text}'")
    return float(match[1]) * factor
