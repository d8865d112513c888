"""What guards a worker against late requests, put together: deadlines, watchdog, reports, and the last resort.

The last resort is for a request that nobody can reach: its client is answered in the place of its core, and the master,
which sees that, has a successor serve. Without a master the process ends.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Sized
from functools import partial
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.api.deadlines import install
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.reports import sinks_of
from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.native import allocate_lock, sleep, start_new_thread
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.signals import INTERRUPT
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.reports.place import has_pending, place_of
from uwsgi_deploy.shared.scoreboard import Field, Scoreboard
from uwsgi_deploy.worker.accounting import Accounting
from uwsgi_deploy.worker.deadlines import Deadlines
from uwsgi_deploy.worker.engines.engine import Engine
from uwsgi_deploy.worker.watchdog import Watchdog
from uwsgi_deploy.wsgi.lifecycle import SERVED, TIMED_OUT
from uwsgi_deploy.wsgi.response import CLOSING, Response

if TYPE_CHECKING:  # loaded when the first request is late
    from uwsgi_deploy.worker.reporting import Reporting
    from uwsgi_deploy.worker.substitute import Severed

_LOG = 2
_THREADS = ("prefork", "threads")
# Seconds that reports may take to be delivered when the process ends.
_LAST_REPORTS = 1.0
# Seconds that the watchdog may take to hand over the last ones: the first of all loads what makes reports.
_LAST_LOOK, _LOOK_AGAIN = 5.0, 0.01


class Guard:
    """See the module. Made with the worker; nothing is watched before `watch`. alone: there is no master.
    expects_reports: see `worker.WorkerContext`."""

    def __init__(
        self,
        settings: Settings,
        scoreboard: Scoreboard,
        wid: int,
        accounting: Accounting,
        *,
        alone: bool,
        expects_reports: bool = True,
    ) -> None:
        self._settings, self._scoreboard, self._wid = settings, scoreboard, wid
        self._accounting, self._alone, self._born = accounting, alone, monotonic()
        self._expects_reports = expects_reports
        self.deadlines = Deadlines(settings.harakiri, accounting.cores, log)
        if self.deadlines.routes.paths:
            accounting.use_routes(self.deadlines.limit_of_path)
        self._reporting: Reporting | None = None
        self._watchdog: Watchdog | None = None
        self._loading = allocate_lock()
        # Requests that do not end, whose clients were answered; and these clients, as long as they may take to read.
        self._given_up = 0
        self._severed: list[Severed] = []

    def watch(self, engine: Engine) -> None:
        """From now on late requests are seen to, and applications may set deadlines. In the main thread."""
        deadlines, scoreboard = self.deadlines, self._scoreboard
        deadlines.core_here = engine.core_here
        self._watchdog = watchdog = Watchdog(
            deadlines,
            engine,
            partial(self._get_reporting, engine),
            grace=self._settings.harakiri.harakiri_graceful_timeout,
            give_up=self._give_up,
            part=self._part,
            record=scoreboard.record(self._wid),
            alone=self._alone,
            look_for_reports=partial(self._look_for_reports, engine),
        )
        signal.signal(INTERRUPT, deadlines.on_signal)
        self._tell_sentry()
        if not self._alone:
            deadlines.tell_master = self._tell_master
        install(deadlines)
        os.register_at_fork(after_in_child=partial(install, None))  # a child of the application runs no request
        watchdog.start()
        if self._expects_reports:
            watchdog.expect_reports()
            self._look_for_reports(engine)

    def _look_for_reports(self, engine: Engine) -> None:
        """Deliver what a worker before this one was killed with."""
        place = place_of(self._settings, os.environ)
        if place is not None and has_pending(place.directory):
            start_new_thread(self._catch_up, (engine,))

    def _catch_up(self, engine: Engine) -> None:
        self._get_reporting(engine).catch_up()

    def _get_reporting(self, engine: Engine) -> Reporting:
        with self._loading:
            if self._reporting is None:
                name = "gevent" if self._settings.gevent.gevent else _THREADS[self._scoreboard.cores > 1]
                make_evidence = import_module("uwsgi_deploy.worker.evidence").Evidence
                evidence = make_evidence(
                    self._scoreboard, self._wid, self.deadlines, engine, engine_name=name, born=self._born
                )
                make = import_module("uwsgi_deploy.worker.reporting").Reporting
                self._reporting = make(self._settings, log, evidence, aside=getattr(engine, "aside", None))
                if self._watchdog is not None and not self._expects_reports:
                    self._watchdog.expect_reports()  # where one request is late, others are
            return self._reporting

    def _tell_sentry(self) -> None:
        """Sentry's WSGI middleware captures what leaves the application: of a timeout it gets the report instead."""
        sentry = sys.modules.get("sentry_sdk.scope")
        if sentry is not None and "sentry" in sinks_of(self._settings.reports):
            sentry.add_global_event_processor(_is_not_reported)

    def _tell_master(self, shortest: float | None) -> None:
        if shortest is not None:
            self._scoreboard.record(self._wid)[Field.SHORTEST] = max(1, int(shortest * 1_000_000))
        self._scoreboard.announce()

    def end(self) -> None:
        """The worker has served its last request: wait for the watchdog's thread to make its reports, and for these."""
        watchdog, until = self._watchdog, monotonic() + _LAST_LOOK
        while watchdog is not None and watchdog.owes() and monotonic() < until:
            watchdog.wake(0.0)
            sleep(_LOOK_AGAIN)
        if self._reporting is not None:
            self._reporting.drain(_LAST_REPORTS)

    def run(self, function: Callable[[], object], response: Response, environ: Environ) -> None:
        """Run something of the application's under the deadline of a request that has its answer, `response`'s."""
        deadlines, core = self.deadlines, response.core
        response.started = True
        deadlines.records.phases[core] = CLOSING
        deadlines.running[core] = response
        try:
            function()
            deadlines.running[core] = None
        except HarakiriTimeout:
            deadlines.running[core] = None
        if deadlines.watched[core]:  # as in `Worker.serve`
            try:
                try:
                    deadlines.settle(core)
                except HarakiriTimeout:
                    deadlines.settle(core)
            except HarakiriTimeout:
                deadlines.settle(core)
            deadlines.conclude(core, environ, response, SERVED)

    # -- the last resort -----------------------------------------------------------------------------------------------

    def _give_up(self, core: int, started: float, response: Response, phase: int) -> None:
        """On the watchdog's thread: this request does not end. phase: before it was marked as answered."""
        accounting, connection = self._accounting, response.connection
        environ, facts = connection.environ, connection.facts
        if self.deadlines.records.descriptors[core] >= 0 and environ is not None and facts is not None:
            severed = import_module("uwsgi_deploy.worker.substitute").answer(response, environ, phase)
            self._severed.append(severed)
            answer, duration = severed.answer, monotonic() - started
            accounting.count(answer, duration, TIMED_OUT)
            if accounting.logs_all or (accounting.logs_some and accounting.wants_line(answer.status, duration)):
                accounting.log(environ, facts, answer, started=started, duration=duration, core=core, outcome=TIMED_OUT)

    def _part(self) -> None:
        """The request that was given up has its report, without which a worker that is leaving must not go."""
        self._given_up += 1
        if self._alone:
            self._end_process()
        else:
            self._scoreboard.announce()

    def _end_process(self) -> None:
        """There is no successor, but a supervisor perhaps."""
        faulthandler.dump_traceback(file=_LOG, all_threads=True)
        log(f"Killing the current process (pid: {os.getpid()})...")
        log("*** run with a master, which replaces a worker that is stuck, and lets its other requests end ***")
        if self._reporting is not None:
            self._reporting.drain(_LAST_REPORTS)
        os._exit(ExitCode.FAILED)

    def come_back(self, core: int) -> None:
        """A core is back from a request that was given up: its client was answered, its line is in the log."""
        self._accounting.end(core)
        self._given_up -= 1

    def has_only_given_up(self, connections: Sized) -> bool:
        """Whether nothing else is left to be done for the worker's clients."""
        return bool(self._given_up) and len(connections) <= self._given_up


def _is_not_reported(event: Any, hint: Any) -> Any:
    """None, which drops the event, for a timeout. The report is an event without an exception object."""
    kind = (hint.get("exc_info") or (None,))[0]
    return None if isinstance(kind, type) and issubclass(kind, HarakiriTimeout) else event
