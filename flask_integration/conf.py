"""What a Flask application says about its server. Reads `app.config` and paths; starts nothing, prints nothing.

The counterpart of django_integration/conf.py: the same functions, asked of the application instead of settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.framework import framework_options, pairs_of
from uwsgi_deploy.errors import ConfigError

if TYPE_CHECKING:
    from flask import Flask

SETTING = "UWSGI"
ORIGIN = 'app.config["UWSGI"]'


def options(app: Flask) -> tuple[RawOption, ...]:
    """Every option the application sets. Raises ConfigError for values that no option can have."""
    value = app.config.get(SETTING)
    if not value:
        return ()
    if not isinstance(value, Mapping):
        raise ConfigError(ORIGIN, f"must be a dictionary of options, not of type {type(value).__name__}")
    return framework_options(pairs_of(_called(value, app), origin=ORIGIN), origin=ORIGIN)


def _called(mapping: Mapping[object, object], app: Flask) -> dict[str, object]:
    """The mapping with its functions replaced by what they return for this application.

    Names may be in capitals: `from_prefixed_env` makes them of variables such as FLASK_UWSGI__THREADS.
    """
    return {str(name).lower(): value(app) if callable(value) else value for name, value in mapping.items()}
