"""Green threads: whether a worker's cores are greenlets, and when the standard library learns to cooperate."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class GeventSettings:
    """The gevent engine (`worker.engines.gevent`); only `gevent` switches it on."""

    gevent: int = option(
        0, help="Run the requests of each worker in this many greenlets (cores) instead of threads; 0 means threads."
    )
    gevent_early_monkey_patch: bool = option(
        True,
        help="With gevent: make the standard library cooperate (gevent.monkey.patch_all) before the application is "
        "imported.",
    )
    gevent_monkey_patch: bool = option(
        False,
        help="With gevent: patch in each worker before it serves, that is after the application was imported; only "
        "where gevent-early-monkey-patch is switched off.",
    )
    gevent_wait_for_hub: bool = option(
        False,
        help="With gevent: a worker that stops waits for the greenlets that the application has started, too, within "
        "worker-reload-mercy.",
    )
    gevent_block_limit: Seconds = option(
        1.0,
        help="With gevent: log who keeps all greenlets of a worker waiting for longer than this, with the stack; 0 "
        "means never.",
    )
