"""What is counted and written around each request: scoreboard, request line, max-requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from threading import get_ident
from time import monotonic, time
from typing import Any, TypeAlias

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.logs.access import Format, ProcessFacts, compile_format, default_format, escape
from uwsgi_deploy.logs.record import APPLICATION_NUMBER, ROUTED, UNLOGGED, Answer, RequestRecord
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.process import memory
from uwsgi_deploy.protocol.messages import Environ, Facts
from uwsgi_deploy.shared.scoreboard import Field, Scoreboard
from uwsgi_deploy.wsgi.lifecycle import CUT, FAILED, GONE, SERVED, UNREADABLE, Outcome

Write: TypeAlias = Callable[[str], None]

_TX = int(Field.TX_BYTES)
_REQUESTS = int(Field.REQUESTS)
_DELTA = int(Field.DELTA_REQUESTS)
_EXCEPTIONS = int(Field.EXCEPTIONS)
_RUNNING = int(Field.RUNNING_TIME)


class Accounting:
    """Counts every request and logs those that the settings ask for. Shared by all cores of a worker."""

    def __init__(self, all_settings: Settings, scoreboard: Scoreboard, wid: int, write: Write) -> None:
        settings = all_settings.logs
        self._http = all_settings.http
        self._settings, self._write = settings, write
        self._record = scoreboard.record(wid)
        self.cores = scoreboard.core_records(wid)
        self._begin_on, self._started = self.cores.writers, self.cores.started
        self._time_limit = all_settings.harakiri.harakiri or inf
        self._clock_offset = time() - monotonic()
        if all_settings.routes:
            self.log = self._log_unless_told  # type: ignore[method-assign]
        self._slow = settings.log_slow / 1000 if settings.log_slow else 0.0
        process = ProcessFacts(os.getpid(), wid)
        forwarded = settings.log_x_forwarded_for
        if settings.log_format:
            self._format = compile_format(settings.log_format, process, x_forwarded_for=forwarded)
        else:
            self._format = default_format(process, micros=settings.log_micros, x_forwarded_for=forwarded)
            if all_settings.application.mount or all_settings.packets.dynamic_apps:
                self._format = _with_application(self._format)
            if all_settings.routes:
                self._format = _with_route(self._format, "micros" if settings.log_micros else "msecs")
            if (level := all_settings.recycling.memory_report) > 0:
                self._format = _with_memory(self._format, level)
        # Whether anything has to be looked at when a request is over and was neither slow nor an error.
        self.logs_all = settings.log_requests
        self.logs_some = bool(settings.log_4xx or settings.log_5xx or settings.log_slow)
        self.requests = 0
        # Counters run on over the worker's successors: continue where the last process in this record stopped.
        self._requests_before = self._record[_REQUESTS]
        self._sent = self._record[_TX]
        self._running = self._record[_RUNNING] / 1_000_000
        self._requests_column = scoreboard.column(Field.REQUESTS)

    def core_runs_here(self, core: int) -> None:
        """The calling thread is `core` from now on."""
        self.cores.set_thread(core, get_ident())

    def begin(self, environ: Environ, started: float, core: int, fd: int) -> None:
        """A request of the connection `fd` is about to run on `core`: tell the master, which sees to its deadline."""
        request = f"{environ['REMOTE_ADDR']} {environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')}"
        self._begin_on[core](started, started + self._time_limit, inf, fd, 0, request.encode(), 0)

    def begin_by_route(self, environ: Environ, started: float, core: int, fd: int) -> None:
        """`begin`, where paths have limits of their own."""
        limit = self._limit_of_path(environ.get("PATH_INFO", ""), core, started)
        request = f"{environ['REMOTE_ADDR']} {environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')}"
        self._begin_on[core](started, started + limit, inf, fd, 0, request.encode(), 0)

    def use_routes(self, limit_of_path: Callable[[str, int, float], float]) -> None:
        """Ask for the limit of each request from now on: (path, core, started) -> seconds."""
        self._limit_of_path = limit_of_path
        self.begin = self.begin_by_route  # type: ignore[method-assign]

    def end(self, core: int) -> None:
        """The request is over, with everything that belongs to it."""
        self._started[core] = 0

    def count(self, response: Answer, duration: float, outcome: Outcome) -> None:
        """Update the scoreboard record, whose only writer this process is: plain stores, no reads."""
        record = self._record
        self.requests = requests = self.requests + 1
        record[_DELTA] = requests
        record[_REQUESTS] = self._requests_before + requests
        self._sent = sent = self._sent + response.sent_body + response.head_size
        record[_TX] = sent
        self._running = running = self._running + duration
        record[_RUNNING] = int(running * 1_000_000)
        if outcome is not SERVED and (outcome is FAILED or outcome is CUT):
            record[_EXCEPTIONS] += 1

    def wants_line(self, status: int, duration: float) -> bool:
        """Whether a request is logged although not all are (disable-logging)."""
        settings = self._settings
        return (
            (settings.log_5xx and status >= 500)
            or (settings.log_4xx and 400 <= status < 500)
            or (self._slow > 0 and duration >= self._slow)
        )

    def log(
        self,
        environ: Environ,
        facts: Facts,
        answer: Answer,
        *,
        started: float,
        duration: float,
        core: int,
        outcome: Outcome,
    ) -> None:
        """Write the line of one request. started: monotonic seconds."""
        record = RequestRecord(
            environ,
            facts,
            answer,
            started + self._clock_offset,
            duration,
            core,
            self.requests,
            sum(self._requests_column),
            outcome is GONE,
            outcome is UNREADABLE,
        )
        self._write(self._format(record))

    def _log_unless_told(self, environ: Environ, facts: Facts, answer: Answer, **passed: Any) -> None:
        """`log`, where rules may say that a request has no line (donotlog)."""
        if UNLOGGED not in environ:
            Accounting.log(self, environ, facts, answer, **passed)

    def client_gone(self, environ: Environ) -> None:
        """The client left before its response was whole: ordinary, and only told to those who asked for it."""
        request = f"{environ['REQUEST_METHOD']} {escape(environ.get('REQUEST_URI', ''))} ({environ['REMOTE_ADDR']})"
        if not self._http.ignore_sigpipe:
            self._write(
                f"SIGPIPE: writing to a closed socket (probably the client disconnected) on request {request} !!!"
            )
        if not self._http.ignore_write_errors:
            self._write(f"write error: the client left during {request}")

    def refused(self, connection: Connection, error: ProtocolError) -> None:
        """A request that never reached the application because it was wrong."""
        if self.logs_all or self.wants_line(error.status, 0.0):
            self._write(
                f"refused a request from {connection.remote_addr or 'a Unix socket'}: {error.detail} ({error.status})"
            )


def _with_application(line: Format) -> Format:
    """uWSGI's number of the application, where there are several."""
    return lambda record: line(record).replace("|app: 0|", f"|app: {record.environ.get(APPLICATION_NUMBER, -1)}|", 1)


def _with_route(line: Format, unit: str) -> Format:
    """uWSGI's mark of requests that a rule has answered."""

    def marked(record: RequestRecord) -> str:
        text = line(record)
        if ROUTED not in record.environ:
            return text
        before, sign, after = text.rpartition(f" {unit} (")
        return f"{before} {unit} via route() ({after}" if sign else text

    return marked


def _with_memory(line: Format, level: int) -> Format:
    """uWSGI's memory-report."""
    return lambda record: memory.report(level) + line(record)
