"""A gateway process's life after the fork: signals, sockets, rounds of the reactor, exit code. Called by the master."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from time import monotonic
from types import FrameType
from typing import Any

from uwsgi_deploy.gateway import clients
from uwsgi_deploy.gateway.backends import Backend, Balancer, KeyedBalancer, backend_of
from uwsgi_deploy.gateway.context import GatewayContext
from uwsgi_deploy.gateway.dispatch import Dispatcher, Separate
from uwsgi_deploy.gateway.keys import address_for
from uwsgi_deploy.gateway.parts import ROOM, SHARE, Parts
from uwsgi_deploy.gateway.pool import Pool
from uwsgi_deploy.gateway.reactor import GatewayReactor
from uwsgi_deploy.gateway.router import Router, Rules
from uwsgi_deploy.logs.setup import log, reopen_if_moved
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.types import Protocol

# Loaded where they are asked for.
_STATS, _TEMPORARY, _STREAMS = "uwsgi_deploy.gateway.stats", "tempfile", "uwsgi_deploy.gateway.streams"
# How long a process stays whose master has died, at most. Seconds.
_MERCY = 60.0


def run_gateway(context: GatewayContext) -> int:
    """Forward requests until told to stop; returns the exit code of the process.

    SIGTERM and SIGINT: serve who has connected, then leave. SIGHUP: a successor listens on the same sockets, leave what
    is in their queues to it. SIGQUIT: leave at once. SIGWINCH: the log may have been moved.
    """
    parts = _http_parts(context) if context.kind == "http" else import_module(_STREAMS).parts_of(context)
    return _Gateway(context, parts).run()


def _http_parts(context: GatewayContext) -> Parts:
    settings = context.settings
    gateway = settings.gateway
    if gateway.http_post_buffering_dir:
        files: Any = import_module(_TEMPORARY)
        files.tempdir = gateway.http_post_buffering_dir
    reactor = GatewayReactor(
        [clients.endpoint_of(listener, settings) for listener in context.listeners],
        clients.limits_of(settings),
        room=ROOM if gateway.http_processes == 1 else SHARE,
        longest_wait=gateway.http_harakiri / 3 if gateway.http_harakiri else -1.0,
        on_refused=lambda connection, error: router.on_refused(connection, error),
        on_gone=lambda _environ: router.client_gone(),
    )
    rules = Rules(
        timeout=gateway.http_timeout,
        connect_timeout=gateway.http_connect_timeout or gateway.http_timeout,
        auto_gzip=gateway.http_auto_gzip,
        as_host=gateway.http_server_name_as_http_host,
        modifier1=gateway.http_modifier1,
        modifier2=gateway.http_modifier2,
        quiet=gateway.http_quiet,
        workers_wait_for_bodies=settings.http.post_buffering > 0,
    )
    router = Router(reactor, rules, log)
    balancer = _balancer_of(context)
    for backend in balancer.all():
        backend.look_up(monotonic())
    heard = (reactor.poller, reactor.hear_server, reactor.forget_server)
    dispatcher: Dispatcher
    if context.local is not None and context.alone:
        (backend,) = balancer.backends
        dispatcher = Pool(backend, *heard, cores=settings.cores)
    else:
        dispatcher = Separate(balancer, *heard, router.server_trouble)
    reactor.dispatcher = router.dispatcher = dispatcher
    return Parts(reactor, router, balancer, dispatcher, clients.keeps_alive(settings), gateway.http_harakiri)


class _Gateway:
    def __init__(self, context: GatewayContext, parts: Parts) -> None:
        self._context = context
        self._reactor, self._router, self._balancer, self._dispatcher, self._keeps_alive, self._harakiri = parts
        self._arm_at = 0.0
        self._stopping = False

    def run(self) -> int:
        """See `run_gateway`."""
        self._install_signals()
        context, reactor, router, dispatcher = self._context, self._reactor, self._router, self._dispatcher
        if context.stats is not None:
            if not context.stats.is_unix:  # who asks for the state sends nothing that could be waited for
                context.stats.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 0)
            reactor.watch(context.stats.socket.fileno(), self._tell)
        if context.ready >= 0:
            os.write(context.ready, b"\1")
            os.close(context.ready)
        ready = reactor.ready
        keeps_alive = self._keeps_alive
        while not reactor.is_over:
            if self._harakiri:
                self._rearm()
            reactor.poll()
            while ready:
                connection = ready.popleft()
                if not keeps_alive or reactor.draining:
                    connection.keep_alive = False
                router.begin(connection)
            if reactor.has_waiting or dispatcher.waiting:
                dispatcher.sweep()
                reactor.has_waiting = bool(dispatcher.waiting)
        reactor.close()
        return ExitCode.OK

    def _rearm(self) -> None:
        """The kernel ends a process that does not come here in time (http-harakiri)."""
        now = monotonic()
        if now >= self._arm_at:
            self._arm_at = now + self._harakiri / 3
            signal.setitimer(signal.ITIMER_REAL, self._harakiri)

    def _tell(self) -> None:
        context, listener = self._context, self._context.stats
        assert listener is not None
        names = [one.name for one in context.listeners]
        waiting = self._dispatcher.waiting
        stats = import_module(_STATS)
        document = stats.snapshot(context.kind, self._router, names, self._balancer.all(), waiting)
        stats.serve(listener.socket, self._reactor, document)

    # -- signals -------------------------------------------------------------------------------------------------------

    def _install_signals(self) -> None:
        """As in workers: handlers do nothing, the C side writes the number into a pipe that the reactor watches."""
        receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGWINCH):
            signal.signal(number, _noted)
        signal.signal(signal.SIGQUIT, _leave_at_once)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._reactor.watch(receiver, lambda: self._on_signals(os.read(receiver, 64)))

    def _on_signals(self, numbers: Sequence[int]) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop(backlog=True)
        elif signal.SIGHUP in numbers:
            self._stop(backlog=False)
        if signal.SIGWINCH in numbers and (complaint := reopen_if_moved()):
            log(f"{self._context.name}: {complaint}")

    def _stop(self, *, backlog: bool) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._context.master_pid and os.getppid() != self._context.master_pid:
            # Nobody will insist: the kernel ends this process in a while.
            self._harakiri = 0
            signal.setitimer(signal.ITIMER_REAL, _MERCY)
        self._reactor.drain(backlog=backlog)


def _balancer_of(context: GatewayContext) -> Balancer:
    gateway = context.settings.gateway
    grace = gateway.http_gracetime
    elsewhere = Protocol.HTTP if gateway.http_backend_http else Protocol.UWSGI
    fallbacks = [backend_of(text, "http-fallback", elsewhere) for text in gateway.http_fallback]
    if context.local is not None:
        return Balancer([Backend(context.local, Protocol.ROUTED, is_local=True)], fallbacks, gracetime=grace)
    if not context.servers and (gateway.http_use_base or gateway.http_use_pattern):
        return KeyedBalancer(
            partial(address_for, gateway.http_use_base, gateway.http_use_pattern),
            lambda address: Backend(address, elsewhere),
            fallbacks,
            gracetime=grace,
        )
    return Balancer([backend_of(text, "http-to", elsewhere) for text in context.servers], fallbacks, gracetime=grace)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Nothing: the number is in the wake-up pipe."""


def _leave_at_once(_number: int, _frame: FrameType | None) -> None:
    sys.stderr.flush()
    os._exit(ExitCode.QUIET)
