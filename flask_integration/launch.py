"""What the server is started with when Flask's command line and the application's configuration say it.

The counterpart of django_integration/launch.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from flask_integration.conf import ORIGIN
from flask_integration.discovery import APPLICATION
from uwsgi_deploy import launch
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.launch import Framework, Launch, Target

COMMAND = "flask uwsgi run"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5000


def plan(project: Sequence[RawOption], given: Sequence[RawOption], *, replaced: frozenset[str]) -> Launch:
    """See `uwsgi_deploy.launch.plan`."""
    defaults = (
        ("module", APPLICATION),
        ("chdir", os.getcwd()),
        ("http-socket", f"{DEFAULT_HOST}:{DEFAULT_PORT}"),
    )
    return launch.plan(Framework(COMMAND, ORIGIN, defaults), project, given, replaced=replaced)


def whereabouts(project: Sequence[RawOption]) -> Place:
    """See `uwsgi_deploy.launch.whereabouts`."""
    return launch.whereabouts(Framework(COMMAND, ORIGIN, (("chdir", os.getcwd()),)), project)


def target(project: Sequence[RawOption]) -> Target:
    """See `uwsgi_deploy.launch.target`."""
    defaults = (("chdir", os.getcwd()), ("http-socket", f"{DEFAULT_HOST}:{DEFAULT_PORT}"))
    return launch.target(Framework(COMMAND, ORIGIN, defaults), project)


def http_socket(host: str | None, port: int | None, environ: Mapping[str, str]) -> Iterator[RawOption]:
    """`--host` and `--port` as the one option they are; nothing when neither was given."""
    if host is None and port is None:
        return
    host = host or DEFAULT_HOST
    if host.startswith("unix://"):  # `flask run`'s way to say it
        yield RawOption("http-socket", host.removeprefix("unix://"), COMMAND_LINE)
        return
    if port is None:
        port = int(environ["PORT"]) if environ.get("PORT", "").isdigit() else DEFAULT_PORT
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    yield RawOption("http-socket", f"{host}:{port}", COMMAND_LINE)
