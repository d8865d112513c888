"""Harakiri without a master: a thread that ends this process when a request outlives its deadline, with its stack.

The thread needs the interpreter like any other. For the case that a request holds it, faulthandler's own watchdog,
which does not, is set a moment later than the nearest deadline, and set again at every look.
"""

from __future__ import annotations

import faulthandler
import os
from _thread import start_new_thread
from collections.abc import Callable
from time import monotonic, sleep  # bound before an application can replace it (gevent)

from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.shared.scoreboard import Running, Scoreboard

_LOG = 2
_LOOK = 0.25
# How much later than this thread faulthandler's watchdog acts.
_SLACK = 0.5


class Watchdog:
    """See the module. `limit`: seconds a request may run. The only worker is number 1, in the first bank."""

    def __init__(self, scoreboard: Scoreboard, limit: float, write: Callable[[str], None]) -> None:
        self._scoreboard, self._limit, self._write = scoreboard, limit, write

    def start(self) -> None:
        """Watch from now on, until the process ends."""
        self._act_at_the_latest(self._limit)  # the thread may come to run after a request that holds the interpreter
        start_new_thread(self._run, ())

    def _run(self) -> None:
        while True:
            now = monotonic()
            running = list(self._scoreboard.running(1, 0))
            nearest = min((request.deadline for request in running), default=now + self._limit)
            if nearest <= now:
                self._end([request for request in running if request.deadline <= now], now)
            # Also while nothing runs: what begins now and never lets go could not set it any more.
            self._act_at_the_latest(nearest - now)
            sleep(min(_LOOK, nearest - now))

    @staticmethod
    def _act_at_the_latest(after: float) -> None:
        faulthandler.dump_traceback_later(after + _SLACK, exit=True, file=_LOG)

    def _end(self, overdue: list[Running], now: float) -> None:
        for running in overdue:
            request = self._scoreboard.request(1, 0, running.core)
            what, client = escape(f"{request.method} {request.uri}"), escape(request.address) or "a Unix socket"
            self._write(
                f"HARAKIRI: {what} from {client} has run for {now - running.started:.1f} s on core {running.core} "
                f"(pid: {os.getpid()}); harakiri allows {self._limit:g} s"
            )
        faulthandler.dump_traceback(file=_LOG, all_threads=True)
        self._write(f"Killing the current process (pid: {os.getpid()})...")
        self._write("*** run with a master, which replaces a killed worker and tells which thread was stuck ***")
        os._exit(ExitCode.FAILED)
