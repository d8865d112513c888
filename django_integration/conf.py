"""What a Django project says about its server. Reads settings and paths; starts nothing, prints nothing.

The counterpart of flask_integration/conf.py, asked of `django.conf.settings` instead of `app.config`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwsgi_deploy.config.build import build
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.argv import parse_arguments
from uwsgi_deploy.config.sources.framework import framework_options, pairs_of
from uwsgi_deploy.errors import ConfigError

# Settings of django-pyuwsgi and django-uwsgi-ng, still read.
LEGACY_SETTINGS = ("PYUWSGI_ARGS", "UWSGI_OPTIONS")
SETTINGS = (*LEGACY_SETTINGS, "UWSGI")
"""Weakest first."""

FALLBACK_APPLICATION = "django_integration.wsgi:application"


def options(settings: Any) -> tuple[RawOption, ...]:
    """Every option the project sets, the strongest last. Raises ConfigError for values that no option can have."""
    return tuple(option for name in SETTINGS for option in _options_of(name, getattr(settings, name, None), settings))


def problems(settings: Any) -> tuple[ConfigError, ...]:
    """What is wrong with the project's options: all of it, not only the first."""
    try:
        _check(options(settings))
    except ConfigError as error:
        return tuple(_problems_of_each(settings)) or (error,)
    return ()


def legacy_settings(settings: Any) -> tuple[str, ...]:
    """The settings of older adapters that the project still has."""
    return tuple(name for name in LEGACY_SETTINGS if getattr(settings, name, None))


def application(settings: Any) -> str:
    """WSGI_APPLICATION, at any depth, as the option `module`: `a.b.application` is `a.b:application`."""
    path = getattr(settings, "WSGI_APPLICATION", None)
    if path is None:
        return FALLBACK_APPLICATION
    module, dot, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    if not dot or not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ConfigError(
            "settings.WSGI_APPLICATION",
            f"{path!r} does not name an application",
            hint="it is written like 'mysite.wsgi.application'",
        )
    return f"{module}:{name}"


def harakiri(settings: Any) -> float:
    """Seconds that a request may run as far as settings, environment and platform say; 0 means no limit."""
    facts = Facts(environ=dict(os.environ), cwd=os.getcwd())
    return build(Sources(framework=options(settings), facts=facts)).settings.harakiri.harakiri


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many workers there are at most, how many requests each runs at a time, and whether in greenlets."""

    processes: int
    cores: int
    gevent: bool


def fleet(settings: Any) -> Fleet:
    """The server's size as far as settings, environment and platform say. Raises ConfigError."""
    facts = Facts(environ=dict(os.environ), cwd=os.getcwd())
    built = build(Sources(framework=options(settings), facts=facts)).settings
    return Fleet(built.workers.processes, built.cores, built.gevent.gevent > 0)


def project_directory(settings: Any, program: str) -> Path:
    """Where the project lies: the directory of manage.py if that is running, else BASE_DIR, else here."""
    if os.path.basename(program) == "manage.py":
        return Path(program).resolve().parent
    base = getattr(settings, "BASE_DIR", None)
    if isinstance(base, (str, os.PathLike)) and os.path.isdir(base):
        return Path(base).resolve()
    return Path.cwd()


def _options_of(name: str, value: Any, settings: Any) -> tuple[RawOption, ...]:
    origin = f"settings.{name}"
    if not value:
        return ()
    if isinstance(value, Mapping):
        return framework_options(pairs_of(_called(value, settings), origin=origin), origin=origin)
    if isinstance(value, (list, tuple)) and name in LEGACY_SETTINGS:
        return _options_of_arguments(value, origin)
    raise ConfigError(origin, f"must be a dictionary of options, not of type {type(value).__name__}")


def _called(mapping: Mapping[Any, object], settings: Any) -> dict[str, object]:
    """The mapping with its functions replaced by what they return for these settings."""
    return {str(name): value(settings) if callable(value) else value for name, value in mapping.items()}


def _options_of_arguments(arguments: Sequence[object], origin: str) -> tuple[RawOption, ...]:
    """Options in the form of a command line, as django-pyuwsgi took them."""
    try:
        parsed = parse_arguments([str(argument) for argument in arguments])
    except ConfigError as error:
        raise ConfigError(origin, error.message, hint=error.hint) from None
    if parsed.rest:
        raise ConfigError(origin, f"do not know what to do with {parsed.rest[0]!r}")
    return tuple(RawOption(option.name, option.value, origin) for option in parsed.options)


def _check(options: Sequence[RawOption]) -> None:
    """Build a configuration of these options alone; UWSGI_* variables of the environment do not join them."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("UWSGI_")}
    build(Sources(framework=tuple(options), facts=Facts(environ=environ, cwd=os.getcwd())))


def _problems_of_each(settings: Any) -> Iterator[ConfigError]:
    """Every option by itself, since building a configuration stops at the first error."""
    for name in SETTINGS:
        value = getattr(settings, name, None)
        parts = [{key: item} for key, item in value.items()] if isinstance(value, Mapping) else [value]
        for part in parts:
            try:
                _check(_options_of(name, part, settings))
            except ConfigError as error:
                yield error
