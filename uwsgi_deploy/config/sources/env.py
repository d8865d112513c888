"""`UWSGI_*` variables of the environment as options. A variable cannot be repeated, so a list holds one value."""

from __future__ import annotations

from collections.abc import Mapping

from uwsgi_deploy.config.known import words
from uwsgi_deploy.config.raw import RawOption

PREFIX = "UWSGI_"

# Variables that uWSGI itself sets for its children and its next life.
NOT_OPTIONS = words(
    """UWSGI_RELOADS UWSGI_VASSALS_DIR UWSGI_EMPEROR_FD UWSGI_EMPEROR_FD_CONFIG UWSGI_BROODLORD_NUM UWSGI_EMPEROR_PROXY
    UWSGI_JAIL_PID UWSGI_ORIGINAL_PROC_NAME"""
)


def environment_options(environ: Mapping[str, str]) -> tuple[RawOption, ...]:
    """`UWSGI_HTTP_SOCKET=:8000` is `http-socket = :8000`."""
    return tuple(
        RawOption(name[len(PREFIX) :].lower().replace("_", "-"), value, f"environment {name}")
        for name, value in environ.items()
        if name.startswith(PREFIX) and len(name) > len(PREFIX) and name not in NOT_OPTIONS
    )


def variable_name(option: str) -> str:
    """The environment variable that sets an option."""
    return PREFIX + option.upper().replace("-", "_")
