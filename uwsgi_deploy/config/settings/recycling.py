"""When a worker is replaced by a fresh one, and what it may use meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Mebibytes, Seconds


@dataclass(frozen=True, slots=True)
class RecyclingSettings:
    """How long a worker lives, how large it may grow, where it runs. `max-requests` is among the workers' options."""

    min_worker_lifetime: Seconds = option(
        10.0, help="A worker is this old before max-requests or a reload-on limit takes effect."
    )
    max_worker_lifetime: Seconds = option(0.0, help="Replace a worker that is older than this; 0 means never.")
    max_worker_lifetime_delta: Seconds = option(
        0.0,
        help="Add this to max-worker-lifetime once more for each next worker, so that not all are replaced at once.",
    )
    reload_on_rss: Mebibytes = option(0, help="Replace a worker whose resident memory is larger; 0 means no limit.")
    reload_on_as: Mebibytes = option(0, help="Replace a worker whose address space is larger; 0 means no limit.")
    reload_on_uss: Mebibytes = option(
        0, help="Replace a worker whose memory that it shares with nobody is larger; 0 means no limit."
    )
    reload_on_pss: Mebibytes = option(
        0, help="Replace a worker whose proportional share of memory is larger; 0 means no limit."
    )
    evil_reload_on_rss: Mebibytes = option(
        0, help="Kill a worker, in its requests, whose resident memory is larger; 0 means no limit."
    )
    evil_reload_on_as: Mebibytes = option(
        0, help="Kill a worker, in its requests, whose address space is larger; 0 means no limit."
    )
    mem_collector_freq: Seconds = option(3.0, help="How often the master looks at the memory of workers.")
    memory_report: int = option(
        0,
        "-m",
        optional_value="1",
        help="Begin the default request line with the worker's memory: 1 address space and RSS, 2 also USS and PSS.",
    )
    cpu_affinity: int = option(0, help="Pin each worker to this many CPUs, one worker after the other; 0 means none.")
    limit_as: Mebibytes = option(0, help="Largest address space of template and workers (RLIMIT_AS); 0 means no limit.")
