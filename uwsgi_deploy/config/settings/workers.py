"""How many processes and cores serve, and how long a worker lives."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The fleet: processes, cores, recycling and stopping."""

    master: bool = option(True, "-M", help="Run a supervising process that respawns, reloads and stops the workers.")
    processes: int = option(1, "workers", "-p", help="Number of worker processes.")
    threads: int = option(1, help="Cores (threads that run requests) in each worker.")
    max_requests: int = option(0, "-R", help="Replace a worker after this many requests; 0 means never.")
    max_requests_delta: int = option(
        0, help="Add this to max-requests once more for each next worker, so that not all are replaced at once."
    )
    worker_reload_mercy: Seconds = option(
        60.0, "graceful-timeout", help="How long a stopping worker may finish its requests before it is killed."
    )
    die_on_term: bool = option(True, help="SIGTERM stops the server; switched off, it reloads brutally as uWSGI 2.0's.")
    no_orphans: bool = option(True, help="Workers end when the master does, however it ended.")
