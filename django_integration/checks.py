"""System checks with the tag `uwsgi`: `manage.py check --tag uwsgi`, and before each start of runuwsgi.

E001  WSGI_APPLICATION does not lead to a module.
E002  An option in UWSGI (or an older adapter's setting) is unknown or has a wrong value.
W001  DEBUG is on and other machines can reach the server.
W002  A setting of an older adapter is still in use.
W004  `harakiri` is longer than the platform's router waits, or shorter than the database goes on with a statement.
W005, W006  Connections to databases: see `database_checks`.
I001  HarakiriMiddleware is missing, or others stand before it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core import checks

from django_integration import conf, database_checks
from django_integration.addresses import is_public
from uwsgi_deploy.config.platform import SOCKET_OPTIONS
from uwsgi_deploy.errors import ConfigError

TAG = "uwsgi"
MIDDLEWARE = "django_integration.middleware.HarakiriMiddleware"
HEROKU_ROUTER = 30.0
"""Seconds until Heroku's router gives a request up (error H12); it answers 503 itself then."""
STATEMENT_TIMEOUT = re.compile(r"statement_timeout\s*=\s*'?(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|)\b")
POSTGRES_UNITS = {"": 0.001, "us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""https://www.postgresql.org/docs/current/config-setting.html; a bare number of this setting is in milliseconds."""


def register() -> None:
    """Make Django run the checks; called once, when the application is ready."""
    for check in (
        check_application,
        check_options,
        check_exposure,
        check_legacy_settings,
        check_deadline,
        check_middleware,
        database_checks.check_connections,
        database_checks.check_drivers,
    ):
        checks.register(check, TAG)


def check_application(**_options: Any) -> list[checks.CheckMessage]:
    """Look for the application's module without importing it."""
    try:
        module = conf.application(settings).partition(":")[0]
        found = importlib.util.find_spec(module) is not None
    except ConfigError as error:
        return [checks.Error(str(error), id="uwsgi.E001")]
    except ImportError:  # one of its parents is missing, or fails
        found = False
    if found:
        return []
    hint = "Write it as 'package.module.name', or remove the setting to use Django's default application."
    return [checks.Error(f"WSGI_APPLICATION: there is no module {module!r}.", hint=hint, id="uwsgi.E001")]


def check_options(**_options: Any) -> list[checks.CheckMessage]:
    """Names and values of the options."""
    return [
        checks.Error(f"{error.origin}: {error.message}.", hint=error.hint or None, id="uwsgi.E002")
        for error in conf.problems(settings)
    ]


def check_exposure(**_options: Any) -> list[checks.CheckMessage]:
    """Addresses in the settings; runuwsgi looks at those of its command line."""
    try:
        addresses = [
            option.text.partition(",")[0] for option in conf.options(settings) if option.name in SOCKET_OPTIONS
        ]
    except ConfigError:
        return []  # that is E002
    if not addresses and os.environ.get("PORT"):
        addresses = [f":{os.environ['PORT']}"]
    return debug_exposed(addresses)


def debug_exposed(addresses: Iterable[str]) -> list[checks.CheckMessage]:
    """W001 for the first of these addresses that other machines can reach."""
    public = next(filter(is_public, addresses), None)
    if not settings.DEBUG or public is None:
        return []
    hint = "Set DEBUG = False, or listen on 127.0.0.1: error pages show the project's code and settings."
    return [checks.Warning(f"DEBUG is on, and {public} can be reached from outside.", hint=hint, id="uwsgi.W001")]


def check_legacy_settings(**_options: Any) -> list[checks.CheckMessage]:
    """Older adapters' settings work, and are weaker than UWSGI."""
    return [
        checks.Warning(f"The setting {name} is read as part of UWSGI.", hint="Move it there.", id="uwsgi.W002")
        for name in conf.legacy_settings(settings)
    ]


def check_deadline(**_options: Any) -> list[checks.CheckMessage]:
    """W004: `harakiri` beside the other limits that a request meets."""
    try:
        limit = conf.harakiri(settings)
    except ConfigError:
        return []  # that is E002
    return [*_platform(limit), *_statement_timeouts(limit)]


def _platform(limit: float) -> Iterator[checks.CheckMessage]:
    if "DYNO" in os.environ and not 0 < limit < HEROKU_ROUTER:
        yield checks.Warning(
            f"A request may run for {_duration(limit)}, but Heroku's router gives it up after {HEROKU_ROUTER:g} s.",
            hint="Set harakiri below 30 in UWSGI, or leave it out: the default is 25 s on Heroku.",
            id="uwsgi.W004",
        )


def _statement_timeouts(limit: float) -> Iterator[checks.CheckMessage]:
    """A statement that may run longer than its request goes on when nobody waits for it any more."""
    for alias, database in settings.DATABASES.items():
        statement = statement_timeout(database.get("OPTIONS", {}))
        if limit and statement and statement > limit:
            yield checks.Warning(
                f"A statement of the database {alias!r} may run for {statement:g} s, its request for {limit:g} s only.",
                hint="Set its statement_timeout below harakiri, so that it ends before its request does.",
                id="uwsgi.W004",
            )


def statement_timeout(options: Mapping[str, Any]) -> float:
    """Seconds that PostgreSQL is told in a database's OPTIONS (`-c statement_timeout=10s`); 0 where it is not."""
    found = STATEMENT_TIMEOUT.findall(str(options.get("options", "")))
    if not found:
        return 0.0
    number, unit = found[-1]
    return float(number) * POSTGRES_UNITS[unit]


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds else "as long as it likes"


def check_middleware(**_options: Any) -> list[checks.CheckMessage]:
    """I001. A project without any middleware is left in peace."""
    middleware = list(settings.MIDDLEWARE or ())
    if not middleware or middleware[0] == MIDDLEWARE:
        return []
    if MIDDLEWARE not in middleware:
        message = "Reports of requests that take too long will name neither view nor SQL, and have no page of yours."
        return [checks.Info(message, hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.", id="uwsgi.I001")]
    message = f"What {middleware[0]} and others before HarakiriMiddleware do is not in its reports."
    return [checks.Info(message, hint="Put HarakiriMiddleware first in MIDDLEWARE.", id="uwsgi.I001")]
