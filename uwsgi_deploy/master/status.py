"""What `status` tells: the fleet, its records and the sockets as plain values. Reads; changes nothing.

The keys, for programs (`uwsgi-deploy status --json`); instants are unix seconds, sizes bytes:

    version, pid, state (starting, running, cheap, paused, reloading, draining, drained, lame duck, stopping),
    uptime (seconds), processes (wanted), threads, greenlets (in each worker), requests, generation, cwd, pidfile, log,
    reports: the directory with the reports of late requests, "" for none
    reload: null, or id, kind and stage (checking, emptying, replacing, loading, rolling) of the one that runs
    last_reload: null, or id, ok and message of the last one that ended
    workers: id, pid, state (ordered, starting, idle, busy, paused, leaving), generation, started, requests (of this
        process), total_requests (with its predecessors), exceptions, tx, rx, running_time (seconds in requests), rss,
        harakiri (requests of this worker number that were killed),
        running (the requests it runs now: core, seconds, harakiri (seconds until then; null for never), client,
        method, uri)
    templates: pid, generation, state (loading, ready, leaving)
    routers: the http router's processes: id, pid, state (starting, ready, leaving), rss
    listeners: name, protocol, queue (clients that wait; null where the kernel does not say), max_queue
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING, Any

from uwsgi_deploy import __version__
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.rows import Template
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.process.age import age
from uwsgi_deploy.reports.place import place_of
from uwsgi_deploy.shared.scoreboard import Field, Scoreboard

if TYPE_CHECKING:
    from uwsgi_deploy.master.gateways import GatewayProcess, GatewaySlot

# struct tcp_info of a listening socket: tcpi_unacked is the length of the queue, tcpi_sacked its limit.
_TCP_INFO = struct.Struct("24xII")


def status(settings: Settings, fleet: Fleet, scoreboard: Scoreboard, listeners: Iterable[Listener]) -> dict[str, Any]:
    """See the module."""
    template = fleet.template
    return {
        "version": __version__,
        "pid": os.getpid(),
        "state": server_state(fleet),
        "uptime": round(uptime(), 3),
        "processes": len(fleet.active),
        "threads": settings.workers.threads,
        "greenlets": settings.gevent.gevent,
        "requests": scoreboard.total(Field.REQUESTS),
        "generation": template.generation if template is not None else fleet.last_generation,
        "cwd": os.getcwd(),
        "pidfile": settings.identity.pidfile,
        "log": settings.logs.logto,
        "reports": _reports(settings),
        "reload": _reload(fleet),
        "last_reload": _last_reload(fleet),
        "workers": [_worker(worker, fleet, scoreboard) for worker in fleet.workers()],
        "templates": [_template(template) for template in fleet.templates],
        "routers": [_router(slot, each) for slot in fleet.gateways for each in slot.processes],
        "listeners": [_listener(listener) for listener in listeners],
    }


def _router(slot: GatewaySlot, process: GatewayProcess) -> dict[str, Any]:
    return {
        "id": slot.number,
        "pid": process.pid,
        "state": process.state,
        "rss": resident_bytes(process.pid),
        "kind": slot.kind,
    }


def _reports(settings: Settings) -> str:
    """Where the reports of late requests are."""
    place = place_of(settings, os.environ)
    return "" if place is None else os.path.abspath(place.directory)


def server_state(fleet: Fleet) -> str:
    """One word for what the server is up to."""
    if fleet.stop is not None and fleet.stop.stays:
        return "drained" if fleet.is_gone else "draining"
    if fleet.stop is not None:
        return "stopping"
    if fleet.leaving_since is not None:
        return "lame duck"
    if not fleet.booted:
        return "starting"
    if fleet.reload is not None:
        return "reloading"
    if fleet.paused:
        return "paused"
    return "cheap" if fleet.asleep else "running"


def uptime() -> float:
    """Seconds since this process began; an `exec` does not change that."""
    return age()


def _reload(fleet: Fleet) -> dict[str, Any] | None:
    reload = fleet.reload
    return None if reload is None else {"id": reload.id, "kind": reload.kind.value, "stage": reload.stage.value}


def _last_reload(fleet: Fleet) -> dict[str, Any] | None:
    if not fleet.outcomes:
        return None
    last = fleet.outcomes[-1]
    return {"id": last.id, "ok": last.ok, "message": last.message}


def _worker(worker: Worker, fleet: Fleet, scoreboard: Scoreboard) -> dict[str, Any]:
    record = scoreboard.record_in(worker.wid, worker.bank)
    running = list(_running(worker, scoreboard))
    return {
        "id": worker.wid,
        "pid": worker.pid,
        "state": _state(worker, busy=bool(running), paused=fleet.paused),
        "generation": worker.generation,
        "started": record[Field.STARTED],
        "requests": record[Field.DELTA_REQUESTS],
        "total_requests": scoreboard.requests(worker.wid),
        "exceptions": record[Field.EXCEPTIONS],
        "tx": record[Field.TX_BYTES],
        "rx": record[Field.RX_BYTES],
        "running_time": record[Field.RUNNING_TIME] / 1e6,
        "rss": resident_bytes(worker.pid),
        "harakiri": fleet.slot(worker.wid).harakiri_count,
        "running": running,
    }


def _running(worker: Worker, scoreboard: Scoreboard) -> Iterator[dict[str, Any]]:
    now = time.monotonic()
    for running in scoreboard.running(worker.wid, worker.bank):
        request = scoreboard.request(worker.wid, worker.bank, running.core)
        yield {
            "core": running.core,
            "seconds": round(max(0.0, now - running.started), 3),
            "harakiri": None if running.deadline == inf else round(running.deadline - now, 3),
            "client": request.address,
            "method": request.method,
            "uri": request.uri,
        }


def _state(worker: Worker, *, busy: bool, paused: bool) -> str:
    if worker.phase is not Phase.READY:
        return str(worker.phase.value)
    if busy:
        return "busy"
    return "paused" if paused else "idle"


def _template(template: Template) -> dict[str, Any]:
    state = "leaving" if template.stopping else "ready" if template.ready else "loading"
    return {"pid": template.pid, "generation": template.generation, "state": state}


def _listener(listener: Listener) -> dict[str, Any]:
    queue, most = queue_of(listener.socket)
    protocol = listener.protocol.value if listener.tls is None else f"{listener.protocol.value} over TLS"
    return {"name": listener.name, "protocol": protocol, "queue": queue, "max_queue": most}


def queue_of(listening: socket.socket) -> tuple[int | None, int | None]:
    """Clients in the listen queue and its limit; None where the kernel does not tell (Unix sockets, closed ones)."""
    if listening.fileno() < 0 or listening.family == socket.AF_UNIX:
        return None, None
    try:
        queue, most = _TCP_INFO.unpack(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    except (OSError, struct.error):
        return None, None
    return queue, most


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM, shared pages included; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
