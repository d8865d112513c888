"""A worker's life after the fork: signals, reactor, engine, requests, retirement, exit code.

Called by the template (or, without a master, by `master.boot`) in a process of its own, once the application is loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from io import BytesIO
from time import monotonic, time
from types import FrameType
from typing import BinaryIO

from uwsgi_deploy.config.hooks import Phase
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ClientGone, HarakiriTimeout
from uwsgi_deploy.logs.setup import log, reopen_if_moved
from uwsgi_deploy.net.acceptor import Siblings
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.net.listener import Listener, refuse_newcomers
from uwsgi_deploy.net.reactor import UNSENT_LIMIT
from uwsgi_deploy.process.command import Interrupted
from uwsgi_deploy.process.confinement import pin_worker
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.hooks import HookExit, HookRunner
from uwsgi_deploy.protocol.messages import UPGRADE, Codec, Environ
from uwsgi_deploy.shared.scoreboard import Field, Scoreboard, WorkerState
from uwsgi_deploy.types import Protocol
from uwsgi_deploy.worker.accounting import Accounting
from uwsgi_deploy.worker.engines.choice import kind_of, patch_late, watch_hub
from uwsgi_deploy.worker.engines.engine import Engine
from uwsgi_deploy.worker.guard import Guard
from uwsgi_deploy.worker.held import HeldResponses
from uwsgi_deploy.worker.prepared import Prepared
from uwsgi_deploy.worker.retirement import Retirement
from uwsgi_deploy.worker.undertaker import MERCY
from uwsgi_deploy.wsgi.body import live_input
from uwsgi_deploy.wsgi.failures import Failures, rules_of
from uwsgi_deploy.wsgi.lifecycle import CUT, GONE, TAKEN, Application, Outcome, handle_request
from uwsgi_deploy.wsgi.response import Response

# A request that ran longer than this makes it worth while to send waiting clients to an idle worker.
_CROWDED_AFTER = 0.005
# Sent by the master: look at what may have changed (see `Worker._look`). Ctrl-Z in a terminal reaches workers, too.
REMINDER = signal.SIGWINCH
REMINDERS = (signal.SIGTSTP, REMINDER)
# The server will stop soon (lame-duck): clients are to look for another one.
FAREWELL = signal.SIGURG
# Loaded with the first request that asks for another protocol.
_RAW_STREAM = "uwsgi_deploy.wsgi.raw_stream"
# Loaded behind an http router.
_PRIVATE_SOCKET = "uwsgi_deploy.net.private_socket"
# Loaded where packets may have applications loaded.
_PACKETS = "uwsgi_deploy.wsgi.packet_variables"
# Loaded for a FastCGI socket.
_ENDS = "uwsgi_deploy.net.fastcgi_connection"
# New clients accepted in one round where no other worker could take them.
_ACCEPT_ALONE = 32


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker is told at its birth. master_pid is None without a master; is_first: see
    `channel.SpawnWorker`; after_request: what the application wants to be called after each request
    (`uwsgi.after_req_hook`). expects_reports: processes that ended may have left reports for this one to deliver."""

    settings: Settings
    listeners: tuple[Listener, ...]
    wid: int
    scoreboard: Scoreboard
    master_pid: int | None
    prepared: Prepared
    is_first: bool = True
    after_request: Callable[[], object] | None = None
    expects_reports: bool = True


def run_worker(context: WorkerContext, application: Application) -> int:
    """Serve until told to stop; returns the exit code of the process. Raises HookFailed before it serves."""
    return Worker(context, application).run()


class Worker:
    """See the module."""

    def __init__(self, context: WorkerContext, application: Application) -> None:
        settings = context.settings
        self._context, self._settings = context, settings
        routing = context.prepared.routing
        self._application = application if routing is None else routing.in_front_of(application, context.wid)
        self._respond = Response if routing is None else routing.response
        self._accounting = Accounting(settings, context.scoreboard, context.wid, log)
        self._guard = Guard(
            settings,
            context.scoreboard,
            context.wid,
            self._accounting,
            alone=context.master_pid is None,
            expects_reports=context.expects_reports,
        )
        self._deadlines = self._guard.deadlines
        self._delivery = replace(context.prepared.delivery, phases=self._deadlines.records.phases)
        self._cores = settings.cores
        self._kind = kind_of(settings)
        board = context.scoreboard
        alone = board.workers == 1
        self._siblings = None if alone else Siblings(board.idle, board.seat(context.wid), board.call_fd)
        self._retirement = Retirement(settings, context.wid, monotonic())
        self._failures = Failures(
            log,
            rules=rules_of(settings.harakiri),
            condemn=self._retirement.condemn,
            shown=settings.harakiri.catch_exceptions,
        )
        if settings.packets.dynamic_apps:
            import_module(_PACKETS).replace_worker_with(self._retirement.condemn)
        self._keeps_alive = settings.http.http_keepalive_timeout > 0
        self._last_duration = 0.0
        self._stopping_since: float | None = None
        self._abandoned = False
        self._exit_code = 0
        self._reactor = self._kind.reactor(
            context.prepared.endpoints,
            context.prepared.limits,
            cores=self._cores,
            accept_at_once=_ACCEPT_ALONE if alone else 1,
            wait=self._kind.wait,
            on_refused=self._accounting.refused,
            on_gone=self._accounting.client_gone,
            siblings=self._siblings,
        )
        if any(endpoint.kind.has_ends for endpoint in context.prepared.endpoints):
            import_module(_ENDS).end_responses(self._reactor, keeps_alive=self._keeps_alive)
        self._held = HeldResponses(self._reactor.release, self._lost)
        self._door = next((one.socket for one in context.listeners if one.protocol is Protocol.ROUTED), None)

    def run(self) -> int:
        """See `run_worker`."""
        self._install_signals()
        if self._context.master_pid is not None:
            self._look()
        if each := self._settings.recycling.cpu_affinity:
            log(pin_worker(self._context.wid, each=each))
        if chdir2 := self._settings.application.chdir2:
            os.chdir(chdir2)
        try:
            self._run_hooks()
        except Interrupted:
            return ExitCode.OK
        except HookExit as error:
            log(str(error))
            return error.exit_code
        patch_late(self._settings)
        engine = self._make_engine()
        self._guard.watch(engine)
        self._announce(WorkerState.IDLE)
        engine.run()
        if self._kind.join is not None and self._settings.gevent.gevent_wait_for_hub:
            self._kind.join(self._time_left())
        self._reactor.close()
        self._guard.end()
        return self._exit_code

    def _make_engine(self) -> Engine:
        accounting, deadlines = self._accounting, self._deadlines
        engine: Engine = self._kind.make(
            self._reactor,
            self.serve if self._context.after_request is None else self._serve_with_hook,
            self._finished,
            self._held,
            cores=self._cores,
            stack_size=self._settings.system.threads_stacksize * 1024,
            on_core=accounting.core_runs_here,
            may_interrupt=deadlines.may_interrupt,
            interrupted=deadlines.interrupted,
        )
        watch_hub(engine, self._settings, self._context.scoreboard, self._context.wid)
        return engine

    def _run_hooks(self) -> None:
        """What is to be done before this worker accepts; it is not ready while this takes time."""
        if not self._context.prepared.has_hooks:
            return
        hooks = HookRunner(self._settings, prepare_imports=lambda: None, log=log)
        is_first, is_one = self._context.is_first, self._context.wid == 1
        for phase, applies in (
            (Phase.ACCEPTING, True),
            (Phase.ACCEPTING_ONCE, is_first),
            (Phase.ACCEPTING1, is_one),
            (Phase.ACCEPTING1_ONCE, is_one and is_first),
        ):
            if applies:
                hooks.run(phase)

    def rehearse(self, fd: int, codec: Codec, rounds: int, ask: Callable[[], object]) -> None:
        """Serve `rounds` requests that `ask` sends to the connected socket `fd`; see `worker.rehearsal`."""
        reactor = self._reactor
        reactor.admit(fd, "", codec)
        for _ in range(rounds):
            ask()
            reactor.poll()
            while reactor.ready:
                self.serve(reactor.ready.popleft(), 0, False)
        reactor.close()

    # -- requests ------------------------------------------------------------------------------------------------------

    def serve(self, connection: Connection, core: int, hold: bool) -> float:
        """Run one request on this core, from its complete head (and body) to the connection's next owner.

        hold: a small whole response may wait for the engine to send it with others (`worker.held`).
        Returns how long it took, in seconds.
        """
        reactor = self._reactor
        environ = connection.environ
        facts = connection.facts
        assert environ is not None
        assert facts is not None
        started = reactor.now
        if environ["REMOTE_ADDR"] is None:
            environ["REMOTE_ADDR"] = connection.remote_addr
            environ["REMOTE_PORT"] = connection.remote_port
        response = self._respond(connection, self._delivery, environ["REQUEST_METHOD"], core)
        if connection.body is not None:
            environ["wsgi.input"] = connection.body
        elif connection.live_length:
            environ["wsgi.input"] = self._live_input(connection, environ, response, core)
        else:
            environ["wsgi.input"] = BytesIO()
        if self._cores > 1:
            environ["uwsgi.core"] = core
        if reactor.draining or not self._keeps_alive or (reactor.ready and self._crowded()):
            connection.keep_alive = False
        accounting = self._accounting
        accounting.begin(environ, started, core, connection.fd)
        connection.may_hold = hold
        deadlines = self._deadlines
        running, watched = deadlines.running, deadlines.watched
        running[core] = response
        # In the `except` nothing but stores: see `deadlines`, another exception may be under way.
        outcome: Outcome | None
        try:
            outcome = handle_request(self._application, environ, response, self._failures)
            running[core] = None
        except HarakiriTimeout:
            running[core] = None
            outcome, watched[core] = None, started
        if watched[core]:
            try:  # two exceptions at most are under way
                try:
                    deadlines.settle(core)
                except HarakiriTimeout:
                    deadlines.settle(core)
            except HarakiriTimeout:
                deadlines.settle(core)
            outcome = deadlines.conclude(core, environ, response, outcome)
            if outcome is TAKEN:
                return self._come_back(connection, core)
        assert outcome is not None
        now = reactor.now = monotonic()
        duration = self._last_duration = now - started
        accounting.count(response, duration, outcome)
        if accounting.logs_all or (accounting.logs_some and accounting.wants_line(response.status, duration)):
            accounting.log(environ, facts, response, started=started, duration=duration, core=core, outcome=outcome)
        if outcome is GONE:
            accounting.client_gone(environ)
        accounting.end(core)
        retirement = self._retirement
        if accounting.requests >= retirement.requests or now >= retirement.look_at:
            self._consider_retirement(now)
        if connection.body is not None:
            connection.body.close()
            connection.body = None
        if connection.outbox and reactor.unsent > UNSENT_LIMIT:
            outcome = _send_all(connection, outcome)
        if outcome is CUT or outcome is GONE:
            outcome = _send_last(connection, outcome)
            if outcome is CUT and response.close_delimited and connection.cut():
                connection.keep_alive = False
                reactor.release(connection)
            else:
                reactor.abort(connection)
        elif connection.held is not None:
            self._held.hold(connection)
        else:
            reactor.release(connection)
        return duration

    def _live_input(self, connection: Connection, environ: Environ, response: Response, core: int) -> BinaryIO:
        """The body of a request whose application reads it from the client, or may take the connection over."""
        if connection.live_length == UPGRADE:
            offer = import_module(_RAW_STREAM).offer
            offer(connection, environ, response, self._reactor, partial(self._deadlines.converse, core))
            return BytesIO()
        limits = self._settings.http
        return live_input(connection, timeout=limits.body_timeout, limit=limits.limit_post)

    def _serve_with_hook(self, connection: Connection, core: int, _hold: bool) -> float:
        """`serve`, and when its client has everything, what the application does afterwards.

        Its time belongs to the request's deadline, unless harakiri-no-arh says it does not.
        """
        reactor, accounting, after = self._reactor, self._accounting, self._context.after_request
        environ, started = connection.environ, reactor.now
        assert environ is not None
        assert after is not None
        self.serve(connection, core, False)
        if self._settings.harakiri.harakiri_no_arh:
            after()
        else:
            accounting.begin(environ, started, core, -1)  # the client has its answer
            self._guard.run(after, Response(connection, self._delivery, "", core), environ)
            accounting.end(core)
        reactor.now = monotonic()
        return reactor.now - started

    def _come_back(self, connection: Connection, core: int) -> float:
        """The request was given up, and somebody else has answered."""
        self._guard.come_back(core)
        self._reactor.abort(connection)
        before, self._reactor.now = self._reactor.now, monotonic()
        return self._reactor.now - before

    def _lost(self, connection: Connection) -> None:
        """The client left before its response, which was held, could be sent."""
        if connection.environ is not None:
            self._accounting.client_gone(connection.environ)
        self._reactor.abort(connection)

    def _crowded(self) -> bool:
        """Whether a client would be served sooner by another worker: slow requests here, an idle worker there."""
        siblings = self._siblings
        if self._settings.gevent.gevent:
            return False  # that requests take long says nothing where hundreds run at the same time
        return siblings is not None and self._last_duration > _CROWDED_AFTER and siblings.anyone_idle()

    # -- leaving -------------------------------------------------------------------------------------------------------

    def _install_signals(self) -> None:
        """Handlers only make the C side write into the wake-up pipe; the reactor's leader acts on it.

        SIGQUIT ends the process at once. An application may have put handlers of its own in place before the fork.
        """
        receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # First of all: a signal that comes between a handler and this would be heeded by nobody.
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        alone = self._context.master_pid is None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._noted_leave)
        for number in () if alone else (*REMINDERS, FAREWELL):
            signal.signal(number, _noted)
        if not alone:
            signal.signal(signal.SIGTERM, self._noted_end)
        signal.signal(signal.SIGQUIT, self._abandon if alone else _leave_at_once)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # see `_end_with_master`; only the main thread can see to it
        self._reactor.watch(receiver, lambda: self._on_signals(os.read(receiver, 64)))

    def _end_conversations(self) -> None:
        """Applications that took a connection over may talk for hours: they find the end of input."""
        for connection in list(self._reactor.connections.values()):
            if connection.live_length == UPGRADE:
                connection.end_input()

    def _noted_leave(self, number: int, _frame: FrameType | None) -> None:
        """To leave or stop. The only core may be the one that talks, and nobody else would act on the signal."""
        if number == signal.SIGHUP or self._door is None or not self._is_needed():
            self._end_conversations()

    def _noted_end(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM with a master, perhaps because it died. The reactor's leader may be the one that is stuck."""
        self._end_with_master()
        self._noted_leave(number, frame)

    def _end_with_master(self) -> None:
        """If the master is gone nobody will insist: the kernel ends this process in a moment."""
        if self._context.master_pid is not None and os.getppid() != self._context.master_pid:
            signal.setitimer(signal.ITIMER_REAL, min(self._settings.workers.worker_reload_mercy or MERCY, MERCY))

    def _abandon(self, _number: int, _frame: FrameType | None) -> None:
        """SIGQUIT without a master: interrupt whatever runs, and let the boot code remove its files."""
        self._abandoned = True
        raise KeyboardInterrupt

    def _on_signals(self, numbers: Sequence[int]) -> None:
        # A worker that is replaced (SIGHUP) leaves the listen queue to its successor; one that stops may be the last.
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            if self._door is not None and self._is_needed():
                self._ask_for_successor()
            else:
                self._stop(backlog=True)
        elif signal.SIGHUP in numbers:
            self._stop(backlog=False)
        if FAREWELL in numbers:
            self._keeps_alive = False
        if not set(REMINDERS).isdisjoint(numbers):
            self._look()

    def _is_needed(self) -> bool:
        """Whether the http router may still send requests: it finishes first when a signal reaches all (Ctrl-C,
        Heroku's stop). When it has gone the master shuts the private socket, and tells the worker again."""
        if self._door is None or os.getppid() != self._context.master_pid:
            return False
        return not import_module(_PRIVATE_SOCKET).is_shut(self._door)

    def _ask_for_successor(self) -> None:
        """Told to end by somebody else than the master: if that is not about to stop the whole server, it sends one."""
        self._context.scoreboard.record(self._context.wid)[Field.OUTLIVED] = 1
        self._context.scoreboard.announce()

    def _look(self) -> None:
        """The master reminds its workers of what may have changed: whether they serve, and where the log is."""
        complaint = reopen_if_moved()
        if complaint:
            log(f"worker {self._context.wid}: {complaint}")
        if self._context.scoreboard.paused:
            self._reactor.pause.begin()
        else:
            self._reactor.pause.end()

    def _stop(self, *, backlog: bool) -> None:
        if self._stopping_since is not None:
            return
        self._stopping_since = monotonic()
        self._announce(WorkerState.STOPPING)
        self._end_with_master()
        if self._context.master_pid is None:
            refuse_newcomers(self._context.listeners)  # with a master it does so, when the whole server stops
        self._reactor.drain(backlog=backlog)
        self._end_conversations()

    def _consider_retirement(self, now: float) -> None:
        """With its work done a worker serves on until its successor does: the master then tells it to leave."""
        reason = self._retirement.verdict(self._accounting.requests, now)
        if not reason or self._stopping_since is not None:
            return
        self._retirement.decided()
        log(f"...The work of process {os.getpid()} is done ({reason}). Seeya!")
        self._exit_code = ExitCode.BROKEN if self._retirement.condemned else ExitCode.RETIRED
        if self._context.master_pid is None:
            self._stop(backlog=True)
        else:
            self._ask_for_successor()

    def _time_left(self) -> float:
        """Seconds until the master's patience with this worker ends."""
        mercy = self._settings.workers.worker_reload_mercy or MERCY
        return max(0.0, (self._stopping_since or monotonic()) + mercy - monotonic())

    def _finished(self) -> bool:
        if self._abandoned:
            return True
        if self._stopping_since is None:
            return False
        if self._reactor.is_over or self._guard.has_only_given_up(self._reactor.connections):
            return True
        mercy = self._settings.workers.worker_reload_mercy
        return bool(mercy) and monotonic() - self._stopping_since > mercy

    def _announce(self, state: WorkerState) -> None:
        scoreboard = self._context.scoreboard
        record = scoreboard.record(self._context.wid)
        if state is WorkerState.IDLE:
            record[Field.PID] = os.getpid()
            record[Field.READY] = int(time())
        record[Field.STATE] = state
        scoreboard.announce()


def _send_last(connection: Connection, outcome: Outcome) -> Outcome:
    """The application failed after its response was whole: that is sent before the connection ends."""
    try:
        connection.send_held()
    except ClientGone:
        return GONE
    return outcome


def _send_all(connection: Connection, outcome: Outcome) -> Outcome:
    """Too much is unsent in this worker already: this core waits for its client."""
    try:
        connection.send_until(0)
    except ClientGone:
        return GONE
    return outcome


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Nothing: the number is in the wake-up pipe."""


def _leave_at_once(_number: int, _frame: FrameType | None) -> None:
    """SIGQUIT with a master, which sees to the rest: no more of anything."""
    sys.stderr.flush()
    os._exit(ExitCode.QUIET)
