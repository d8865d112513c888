"""The start-up lines, worded as uWSGI's where scripts and people look for them. Pure, but for what the machine is."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.workers import WorkerSettings


def starting(version: str, now: float) -> str:
    """The first line of a server's log; `now` in unix seconds."""
    bits = struct.calcsize("P") * 8
    return f"*** Starting uWSGI-compatible uwsgi-deploy {version} ({bits}bit) on [{time.ctime(now)}] ***"


def machine() -> Iterator[str]:
    """Where the server runs."""
    system = os.uname()
    yield f"os: {system.sysname}-{system.release} {system.version}"
    yield f"nodename: {system.nodename}"
    yield f"machine: {system.machine}"
    yield f"detected number of CPU cores: {len(os.sched_getaffinity(0))}"
    yield f"current working directory: {os.getcwd()}"


def interpreter() -> Iterator[str]:
    """What runs the application."""
    version = sys.version.replace("\n", "")
    yield f"Python version: {version}"
    yield f"Python executable: {sys.executable} ({sys.implementation.name})"
    yield "python threads support enabled"


def limits(settings: Settings, *, backlog: int, shared_bytes: int) -> Iterator[str]:
    """The limits in force and the mode of operation."""
    workers = settings.workers
    cores = workers.processes * settings.cores
    yield f"your server socket listen backlog is limited to {backlog} connections"
    yield f"your mercy for graceful operations on workers is {workers.worker_reload_mercy:g} seconds"
    yield f"your request buffer size is {settings.http.buffer_size} bytes"
    yield f"mapped {shared_bytes} bytes ({shared_bytes // 1024} KB) for {cores} cores"
    name = mode(workers, greenlets=settings.gevent.gevent) if settings.has_workers else "no-workers"
    yield f"*** Operational MODE: {name} ***"
    if settings.gevent.gevent:
        yield f"*** running gevent loop engine, {settings.gevent.gevent} greenlets for requests in each worker ***"


def mode(workers: WorkerSettings, *, greenlets: int = 0) -> str:
    """uWSGI's name for the combination of processes and threads or greenlets."""
    if greenlets:
        return "preforking+async" if workers.processes > 1 else "async"
    if workers.threads > 1:
        return "preforking+threaded" if workers.processes > 1 else "threaded"
    return "preforking" if workers.processes > 1 else "single process"


def application_ready(seconds: float, pid: int, *, number: int = 0, point: str = "", is_default: bool = True) -> str:
    """An application was loaded in process `pid`; point: where it is mounted."""
    return (
        f"WSGI app {number} (mountpoint='{point}') ready in {int(seconds)} seconds on interpreter {id(sys):#x} "
        f"pid: {pid}{' (default app)' if is_default else ''}"
    )


def application_missing() -> tuple[str, str]:
    """No application could be loaded, and the server ends."""
    return (
        "unable to load app 0 (mountpoint='') (callable not found or import error)",
        "*** no app loaded. GAME OVER ***",
    )


def master_spawned(pid: int, *, again: bool = False) -> str:
    """The master is at work, for the first time or in a new image."""
    if again:
        return f"gracefully (RE)spawned uWSGI master process (pid: {pid})"
    return f"spawned uWSGI master process (pid: {pid})"


def worker_spawned(wid: int, pid: int, cores: int) -> str:
    """A worker was started for the first time."""
    return f"spawned uWSGI worker {wid} (pid: {pid}, cores: {cores})"


def only_worker(pid: int, cores: int) -> str:
    """The server runs without a master: this process is its worker."""
    return f"spawned uWSGI worker 1 (and the only) (pid: {pid}, cores: {cores})"


def router_ready(processes: int) -> str:
    """Routers accept connections, and there are no workers of their own."""
    what = "1 process accepts" if processes == 1 else f"{processes} processes accept"
    return f"*** uwsgi-deploy is ready: {what} requests for other servers ***"


def ready(workers: int) -> str:
    """All workers accept connections: from here on the server serves."""
    if not workers:
        return "*** uwsgi-deploy is ready: the first client starts the workers ***"
    what = "1 worker accepts" if workers == 1 else f"{workers} workers accept"
    return f"*** uwsgi-deploy is ready: {what} requests ***"
