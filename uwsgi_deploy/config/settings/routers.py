"""Routers beside that of `gateway`: the fastrouter, whose clients are web servers, and the rawrouter, for any TCP."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.config.settings.gateway import RouterPlan
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class FastrouterSettings:
    """Where the fastrouter listens for uwsgi packets, and how the server for each is found."""

    fastrouter: tuple[str, ...] = option(
        (),
        help="Listen on this address for web servers that speak uwsgi (nginx's uwsgi_pass), with a process of its own "
        "that passes their requests on to other uwsgi servers. Repeatable.",
    )
    fastrouter_processes: int = option(1, "fastrouter-workers", help="Processes of the fastrouter.")
    fastrouter_to: tuple[str, ...] = option(
        (),
        help="Forward to this uwsgi server (host:port, /path.sock, @abstract), perhaps with ,weight=N. Repeatable.",
    )
    fastrouter_fallback: tuple[str, ...] = option(
        (), help="Forward to this uwsgi server when no other one can be reached. Repeatable."
    )
    fastrouter_use_base: str = option(
        "",
        help="Forward to the Unix socket (or address) at this text followed by the request's key, which is "
        "UWSGI_FASTROUTER_KEY, HTTP_HOST or SERVER_NAME.",
    )
    fastrouter_use_pattern: str = option("", help="Forward to the server at this text with the request's key for %s.")
    fastrouter_fallback_on_no_key: bool = option(
        False, help="Forward requests without a key to fastrouter-fallback instead of answering 400."
    )
    fastrouter_gracetime: Seconds = option(30.0, help="How long a server that could not be reached is left alone.")
    fastrouter_quiet: bool = option(False, help="Do not log servers that could not be reached.")
    fastrouter_timeout: Seconds = option(
        60.0, help="How long a request may go on without a byte of it or of its answer; beyond it 504, or it is cut."
    )
    fastrouter_stats: str = option(
        "",
        "fastrouter-stats-server",
        "fastrouter-ss",
        help="Address at which the first process of the fastrouter writes its state as JSON.",
    )
    fastrouter_harakiri: Seconds = option(
        0, help="A process of the fastrouter that is stuck for longer than this is killed and replaced; 0 means never."
    )

    @property
    def plan(self) -> RouterPlan | None:
        """What the master has to know of it, if it is configured."""
        if not self.fastrouter:
            return None
        return RouterPlan(
            "fastrouter", self.fastrouter, self.fastrouter_stats, self.fastrouter_processes, self.fastrouter_harakiri
        )


@dataclass(frozen=True, slots=True)
class RawrouterSettings:
    """Where the rawrouter listens, and whom it forwards to."""

    rawrouter: tuple[str, ...] = option(
        (),
        help="Listen on this address with a process of its own that connects each client with another server, "
        "whatever they speak. Repeatable.",
    )
    rawrouter_processes: int = option(1, "rawrouter-workers", help="Processes of the rawrouter.")
    rawrouter_to: tuple[str, ...] = option(
        (), help="Connect clients with this server (host:port, /path.sock, @abstract), perhaps ,weight=N. Repeatable."
    )
    rawrouter_fallback: tuple[str, ...] = option(
        (), help="Connect clients with this server when no other one can be reached. Repeatable."
    )
    rawrouter_gracetime: Seconds = option(30.0, help="How long a server that could not be reached is left alone.")
    rawrouter_quiet: bool = option(False, help="Do not log servers that could not be reached.")
    rawrouter_timeout: Seconds = option(60.0, help="How long a connection may be without a byte in either direction.")
    rawrouter_stats: str = option(
        "",
        "rawrouter-stats-server",
        "rawrouter-ss",
        help="Address at which the first process of the rawrouter writes its state as JSON.",
    )
    rawrouter_harakiri: Seconds = option(
        0, help="A process of the rawrouter that is stuck for longer than this is killed and replaced; 0 means never."
    )

    @property
    def plan(self) -> RouterPlan | None:
        """What the master has to know of it, if it is configured."""
        if not self.rawrouter:
            return None
        return RouterPlan(
            "rawrouter", self.rawrouter, self.rawrouter_stats, self.rawrouter_processes, self.rawrouter_harakiri
        )
