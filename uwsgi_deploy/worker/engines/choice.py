"""Which loop engine the settings ask for. gevent is an optional dependency: nothing of it is imported otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.connection import Wait
from uwsgi_deploy.net.reactor import Reactor
from uwsgi_deploy.net.watched import WatchedReactor
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker.engines import threads

_GEVENT = "uwsgi_deploy.worker.engines.gevent"
_OF_GEVENT = frozenset({"gevent", "greenlet"})


@dataclass(frozen=True, slots=True)
class Kind:
    """What a worker builds itself from. make: takes what `ThreadsEngine` takes. join: lets what the application has
    started come to an end, for so many seconds at most; None where nothing has to run for that."""

    reactor: type[Reactor]
    wait: Wait
    make: Callable[..., Any]
    join: Callable[[float], None] | None = None


def kind_of(settings: Settings) -> Kind:
    """The parts of the engine. Raises ConfigError when gevent is asked for and cannot be imported."""
    if not settings.gevent.gevent:
        return Kind(Reactor, threads.wait, threads.ThreadsEngine)
    module = _gevent()
    return Kind(WatchedReactor, module.wait, module.GeventEngine, module.join)


def patch_early(settings: Settings) -> None:
    """Before the application is imported: make the standard library cooperate with gevent, if that is wanted."""
    if settings.gevent.gevent:
        module = _gevent()  # if it is missing it is said now, and workers share the memory of it
        if settings.gevent.gevent_early_monkey_patch:
            module.patch()


def patch_late(settings: Settings) -> None:
    """In a worker, after the application was imported, as uWSGI does: for those who have switched the other off."""
    gevent = settings.gevent
    if gevent.gevent and gevent.gevent_monkey_patch and not gevent.gevent_early_monkey_patch:
        _gevent().patch()


def watch_hub(engine: Any, settings: Settings, scoreboard: Scoreboard, wid: int) -> None:
    """Have it logged who keeps the greenlets of this worker waiting, if there are any and somebody wants to know."""
    if not (settings.gevent.gevent and settings.gevent.gevent_block_limit):
        return
    bank = scoreboard.seat(wid) // scoreboard.workers

    def describe(core: int) -> str:
        request = scoreboard.request(wid, bank, core)
        what = escape(f"{request.method} {request.uri} from {request.address or 'a Unix socket'}")
        return f"worker {wid} (pid: {os.getpid()}) core {core}, {what}"

    engine.watch_hub(settings.gevent.gevent_block_limit, describe, log)


def _gevent() -> ModuleType:
    try:
        return import_module(_GEVENT)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _OF_GEVENT:
            raise
        raise ConfigError(
            "gevent", f"gevent cannot be imported ({error})", hint="pip install 'uwsgi-deploy[gevent]'"
        ) from error
