"""System checks with the tag `uwsgi`: `manage.py check --tag uwsgi`, and before each start of runuwsgi.

E001  WSGI_APPLICATION does not lead to a module.
E002  An option in UWSGI (or an older adapter's setting) is unknown or has a wrong value.
W001  DEBUG is on and other machines can reach the server.
W002  A setting of an older adapter is still in use.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core import checks

from django_integration import conf
from django_integration.addresses import is_public
from uwsgi_deploy.config.platform import SOCKET_OPTIONS
from uwsgi_deploy.errors import ConfigError

TAG = "uwsgi"


def register() -> None:
    """Make Django run the checks; called once, when the application is ready."""
    for check in (check_application, check_options, check_exposure, check_legacy_settings):
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
        addresses = [option.text for option in conf.options(settings) if option.name in SOCKET_OPTIONS]
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
