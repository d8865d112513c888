"""What a router tells of itself on `http-stats` and its like, as JSON: uWSGI's keys, and what else is known."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from time import monotonic
from typing import Any

from uwsgi_deploy.gateway.backends import Backend, describe
from uwsgi_deploy.gateway.parts import Forwarder
from uwsgi_deploy.gateway.reactor import GatewayReactor

# The uWSGI whose keys these are.
_VERSION = "2.0.31"


def snapshot(
    kind: str, router: Forwarder, names: Iterable[str], backends: Iterable[Backend], waiting: int
) -> dict[str, Any]:
    """The state of this process. kind: of the router. names: of its listeners. waiting: requests that no server has
    time for."""
    now = monotonic()
    return {
        "version": _VERSION,
        "pid": os.getpid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "cwd": os.getcwd(),
        "active_sessions": len(router.reactor.exchanges),
        kind: list(names),
        "static_nodes": [describe(backend, now) for backend in backends],
        "subscriptions": [],
        "cheap": 0,
        "connections": len(router.reactor.connections),
        "waiting": waiting,
        "requests": router.requests,
        "refused": router.refused,
        "lost_clients": router.lost_clients,
        "statuses": {f"{first}xx": count for first, count in enumerate(router.statuses) if count},
    }


def serve(listening: socket.socket, reactor: GatewayReactor, document: dict[str, Any]) -> None:
    """Give whoever has connected the document, without waiting for a question."""
    try:
        accepted, _ = listening.accept()
    except OSError:  # gone again, or no descriptor is left: the next round tries again
        return
    accepted.setblocking(False)
    reactor.adopt(accepted.detach(), json.dumps(document, indent="\t").encode() + b"\n")
