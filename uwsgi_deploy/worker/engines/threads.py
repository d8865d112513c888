"""The threads engine: a core is a thread; `prefork` is one core, the main thread.

Leader/followers: idle cores wait for one lock. Its holder, the leader, polls the reactor; when a request is complete
the leader lets go of the lock, so that another core polls on, and serves the request itself. No queue is handed over
and nobody is woken for a request that the leader can serve.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from select import poll  # bound before an application can replace it (gevent)

from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.net.reactor import Reactor

_JOIN_TIMEOUT = 1.0

Serve = Callable[[Connection, int], None]


def wait(fd: int, events: int, timeout: float) -> bool:
    """Block this thread until `fd` is ready for `events` (poll's constants); False after `timeout` seconds."""
    poller = poll()
    poller.register(fd, events)
    return bool(poller.poll(timeout * 1000))


class ThreadsEngine:
    """Runs `cores` cores on `reactor` until `stopped` says so; `serve` gets a connection and the index of its core."""

    def __init__(self, reactor: Reactor, serve: Serve, stopped: Callable[[], bool], *, cores: int) -> None:
        self._reactor, self._serve, self._stopped, self._cores = reactor, serve, stopped, cores
        self._leadership = threading.Lock()

    def run(self) -> None:
        """Serve on this thread (core 0) and on others; returns when all have ended."""
        if self._cores == 1:
            self._run_alone()
            return
        threads = [
            threading.Thread(target=self._run_core, args=(core,), name=f"uWSGI core {core}", daemon=True)
            for core in range(1, self._cores)
        ]
        for thread in threads:
            thread.start()
        self._run_core(0)
        for thread in threads:
            thread.join(_JOIN_TIMEOUT)  # a core that is stuck in its request goes with the process

    def _run_alone(self) -> None:
        reactor, serve, stopped = self._reactor, self._serve, self._stopped
        ready = reactor.ready
        while not stopped():
            reactor.poll()
            while ready:
                serve(ready.popleft(), 0)

    def _run_core(self, core: int) -> None:
        reactor, serve, stopped = self._reactor, self._serve, self._stopped
        ready = reactor.ready
        while True:
            try:
                connection = ready.popleft()
            except IndexError:
                with self._leadership:
                    while not ready and not stopped():
                        reactor.poll()
                if stopped():
                    return
                continue
            reactor.free_cores -= 1
            serve(connection, core)
            reactor.free_cores += 1
