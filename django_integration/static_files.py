"""Which files of a project the server can send itself: STATIC_ROOT and MEDIA_ROOT as options of the server.

The counterpart of flask_integration/static_files.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from django.apps import apps
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage

from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.errors import ConfigError

FOUND_APPLICATION = "django_integration.found_static:application"


def are_found(settings: Any, *, wanted: bool) -> bool:
    """Whether the finders serve, as under runserver: with DEBUG, django.contrib.staticfiles, and nobody against it."""
    return bool(wanted and settings.DEBUG and apps.is_installed("django.contrib.staticfiles"))


def static_options(settings: Any) -> Iterator[RawOption]:
    """STATIC_URL leads to STATIC_ROOT; names with a hash of their content are kept by clients. Raises ConfigError."""
    prefix = _prefix(settings, "STATIC")
    yield _mapped(settings, "STATIC", prefix)
    if apps.is_installed("django.contrib.staticfiles") and isinstance(staticfiles_storage, ManifestFilesMixin):
        hashed = rf"^{re.escape(prefix)}.*\.[0-9a-f]{{12}}(\.[^./]*)?\Z"
        yield RawOption("static-immutable", hashed, COMMAND_LINE)


def media_options(settings: Any) -> Iterator[RawOption]:
    """MEDIA_URL leads to MEDIA_ROOT. Raises ConfigError."""
    yield _mapped(settings, "MEDIA", _prefix(settings, "MEDIA"))


def _prefix(settings: Any, what: str) -> str:
    """The path of a URL of the settings, with a slash at its end."""
    url = getattr(settings, f"{what}_URL") or ""
    parts = urlsplit(url)
    if parts.netloc:
        raise ConfigError(f"settings.{what}_URL", f"{url!r} is another host's, nothing is served for it here")
    if not parts.path.strip("/"):
        raise ConfigError(f"settings.{what}_URL", "is not set, or is the whole site", hint=f"such as '{what.lower()}/'")
    return unquote(f"/{parts.path.strip('/')}/")


def _mapped(settings: Any, what: str, prefix: str) -> RawOption:
    root = getattr(settings, f"{what}_ROOT")
    if not root:
        raise ConfigError(f"settings.{what}_ROOT", f"is not set: --{what.lower()} has no directory to serve")
    return RawOption("static-map", f"{prefix}={root}", COMMAND_LINE)
