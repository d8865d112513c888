"""What a server does whose user will not be able to read the interpreter's library or this package any more.

That is so where root starts an interpreter that is below a home directory. Such a server serves, if the application is
within reach: what it imports only when it needs it is imported while it is root, and the log says what will not work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module

import uwsgi_deploy
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.process.identity import Identity
from uwsgi_deploy.wsgi.closed_directories import closed_ones

# Imported where they are needed, or by something that is (`postponed`), to save memory in servers that never do.
LATE = (
    *("ast", "ctypes", "difflib", "inspect", "json", "resource", "tempfile"),
    *("uwsgi_deploy.master.hard_stage", "uwsgi_deploy.master.hard_filing"),
    *("uwsgi_deploy.worker.evidence", "uwsgi_deploy.worker.reporting", "uwsgi_deploy.worker.substitute"),
    "uwsgi_deploy.worker.django_rehearsal",
    *("uwsgi_deploy.reports.filing", "uwsgi_deploy.reports.sinks.hook"),
    *("uwsgi_deploy.api.websockets", "uwsgi_deploy.wsgi.raw_stream"),
    *("uwsgi_deploy.protocol.scgi", "uwsgi_deploy.net.cgi_connection"),
    *("uwsgi_deploy.protocol.fastcgi", "uwsgi_deploy.net.fastcgi_connection"),
    *("uwsgi_deploy.wsgi.static", "uwsgi_deploy.wsgi.routing.front"),
    *("uwsgi_deploy.wsgi.routing.files", "uwsgi_deploy.wsgi.routing.passwords"),
    *("uwsgi_deploy.protocol.puwsgi", "uwsgi_deploy.protocol.obeyed", "uwsgi_deploy.wsgi.packet_variables"),
)

TLS = ("uwsgi_deploy.net.tls", "uwsgi_deploy.net.tls_relay", "uwsgi_deploy.wsgi.hsts")


ROUTER = (
    *("uwsgi_deploy.master.gateway_keeper", "uwsgi_deploy.master.policies.gateways"),
    *("uwsgi_deploy.protocol.routed", "uwsgi_deploy.net.routed_connection"),
)
# Imports what the router's processes need.
GATEWAYS = "uwsgi_deploy.gateway.late"


def code_directories() -> tuple[str, str]:
    """Where Python's library and this package are."""
    return os.path.dirname(os.__file__), os.path.dirname(uwsgi_deploy.__file__)


def import_in_time(who: Identity, settings: Settings) -> None:
    """As root, before becoming `who`: import what could not be imported later."""
    tls = TLS if settings.speaks_tls else ()
    router = ROUTER if settings.routers else ()
    if who.uid and any(is_closed_to(who, directory) for directory in code_directories()):
        for name in (*LATE, *tls, *router):
            import_module(name)
        if router:
            import_module(GATEWAYS).import_in_time(settings)


def is_closed_to(who: Identity, directory: str) -> bool:
    """Whether modes say that `who`, who is not root, cannot enter a directory or one above it."""
    steps = [os.path.realpath(directory)]
    while steps[-1] != os.path.dirname(steps[-1]):
        steps.append(os.path.dirname(steps[-1]))
    for step in steps:
        facts = os.stat(step)
        if facts.st_uid == who.uid:
            right = 0o100
        elif facts.st_gid in (who.gid, *who.groups):
            right = 0o010
        else:
            right = 0o001
        if not facts.st_mode & right:
            return True
    return False


def warnings() -> Iterator[str]:
    """After becoming the user: what is closed, for the log."""
    for clause in closed_ones(code_directories()):
        yield f"*** WARNING: {clause}: Python modules there are not found any more, and reloads keep the settings ***"
