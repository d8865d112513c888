"""What a gateway process is given when it is forked: plain values, and the sockets it inherited."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.net.listener import Listener


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """One process of a router; made by `master`, used by `entry.run_gateway`.

    kind: of the router, `http`, `fastrouter` or `rawrouter`.
    number: which of its processes it is, from 1 on. listeners: where its clients connect, non-blocking.
    local: the address, good in this process only, of the socket on which this server's own workers hear
    (`Protocol.ROUTED`); None when all servers are elsewhere. alone: whether nobody but this process has requests for
    these workers. servers: addresses of other servers, as `net.address` reads them, those of `http-to` or of
    `http-use-socket`; with neither these nor `local` each request's Host says where (`http-use-base`,
    `http-use-pattern`).
    stats: where the state is asked for, in one process only. ready: a pipe's end; a byte is written to it once the
    process accepts, and it is closed; -1 when nobody waits for that. master_pid: 0 without a master.
    """

    settings: Settings
    number: int
    listeners: tuple[Listener, ...]
    local: str | None = None
    alone: bool = False
    servers: tuple[str, ...] = ()
    stats: Listener | None = None
    ready: int = -1
    master_pid: int = 0
    kind: str = "http"

    @property
    def name(self) -> str:
        """What the process is called in titles and in the log."""
        return f"uWSGI {self.kind} {self.number}"
