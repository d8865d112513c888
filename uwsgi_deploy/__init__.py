"""A uWSGI-compatible application server for WSGI: the surface for Python callers and for the framework adapters.

`import uwsgi_deploy` costs a millisecond: everything but the errors is imported when it is first used (PEP 562),
because frameworks import this package in commands that never serve.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

from uwsgi_deploy.errors import AppLoadError, BindError, ConfigError, HarakiriTimeout, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uwsgi_deploy.api.deadlines import deadline, extend_deadline, harakiri, on_timeout, set_route, timed_out
    from uwsgi_deploy.api.instrumentation import instrument
    from uwsgi_deploy.api.kept_reports import KeptReports, kept_reports
    from uwsgi_deploy.api.statements import cancel_statement
    from uwsgi_deploy.config.settings import (
        ApplicationSettings,
        HttpSettings,
        IdentitySettings,
        LogSettings,
        Settings,
        SocketSettings,
        WorkerSettings,
    )
    from uwsgi_deploy.config.sources.framework import pairs_of
    from uwsgi_deploy.handover import Handover, replace_process
    from uwsgi_deploy.reports.callbacks import on_report
    from uwsgi_deploy.reports.notes import NOTES, Call, RequestNotes, current_notes, take_notes

__version__ = "0.1.0"

__all__ = [
    "NOTES",
    "AppLoadError",
    "ApplicationSettings",
    "BindError",
    "Call",
    "ConfigError",
    "Handover",
    "HarakiriTimeout",
    "HttpSettings",
    "IdentitySettings",
    "KeptReports",
    "LogSettings",
    "RequestNotes",
    "ServerError",
    "Settings",
    "SocketSettings",
    "WorkerSettings",
    "__version__",
    "cancel_statement",
    "current_notes",
    "deadline",
    "extend_deadline",
    "harakiri",
    "instrument",
    "kept_reports",
    "on_report",
    "on_timeout",
    "pairs_of",
    "replace_process",
    "run",
    "set_route",
    "settings_from",
    "take_notes",
    "timed_out",
]

_HOME_OF = {
    **dict.fromkeys(
        (
            "ApplicationSettings",
            "HttpSettings",
            "IdentitySettings",
            "LogSettings",
            "Settings",
            "SocketSettings",
            "WorkerSettings",
        ),
        "uwsgi_deploy.config.settings",
    ),
    **dict.fromkeys(("Handover", "replace_process"), "uwsgi_deploy.handover"),
    **dict.fromkeys(("NOTES", "Call", "RequestNotes", "current_notes", "take_notes"), "uwsgi_deploy.reports.notes"),
    **dict.fromkeys(
        ("deadline", "extend_deadline", "harakiri", "on_timeout", "set_route", "timed_out"),
        "uwsgi_deploy.api.deadlines",
    ),
    **dict.fromkeys(("KeptReports", "kept_reports"), "uwsgi_deploy.api.kept_reports"),
    "instrument": "uwsgi_deploy.api.instrumentation",
    "cancel_statement": "uwsgi_deploy.api.statements",
    "on_report": "uwsgi_deploy.reports.callbacks",
    "pairs_of": "uwsgi_deploy.config.sources.framework",
}


def __getattr__(name: str) -> object:
    """The public names that live in modules of their own."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def run(settings: Settings, *, notices: Sequence[str] = ()) -> int:
    """Serve until stopped; the process exit code. Call it from the main thread of a process that does nothing else.

    notices: lines for the beginning of the log. Raises ServerError before anything is started.
    """
    # Not at the top: --help, --version and a wrong option must not pay for the server.
    from uwsgi_deploy.config.checks import require_socket
    from uwsgi_deploy.master.boot import run_server

    require_socket(settings)
    return run_server(settings, notices=notices)


def settings_from(**options: object) -> Settings:
    """Settings from options under their names in files, with `_` for `-`: `settings_from(http_socket=":8000")`.

    Values are what an ini file would say, or Python's own: numbers, booleans, paths, lists for repeatable options.
    Neither the environment nor the platform is looked at. Raises ConfigError; what has no effect is a UserWarning.
    """
    from uwsgi_deploy.config.build import build
    from uwsgi_deploy.config.gather import Sources
    from uwsgi_deploy.config.sources.framework import framework_options, pairs_of

    origin = "settings_from()"
    configuration = build(Sources(framework=framework_options(pairs_of(options, origin=origin), origin=origin)))
    for sentence in configuration.warnings:
        warnings.warn(sentence, stacklevel=2)
    return configuration.settings
