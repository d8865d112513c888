"""The threads engine: a core is a thread; `prefork` is one core, the main thread.

Leader/followers: idle cores wait for one lock. Its holder, the leader, polls the reactor; when a request is complete
the leader lets go of the lock, so that another core polls on, and serves the request itself. No queue is handed over.

Waking a follower costs more than serving a quick request, and the two would fight for the interpreter. So while
requests are quick the leader serves them without letting go, and only *offers* the lead: a lookout thread takes the
offer up, and lets go of the lock in the leader's place, when one request lasts longer than a tick.

While more requests wait, the leader also holds small responses of quick ones for up to a millisecond and sends them
together (`worker.held`); the lookout sends them when a request lasts.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from select import poll  # bound before an application can replace it (gevent)
from time import monotonic
from types import FrameType
from typing import TypeAlias

from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.native import get_ident
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.net.reactor import Reactor
from uwsgi_deploy.process.signals import INTERRUPT
from uwsgi_deploy.worker import injection
from uwsgi_deploy.worker.engines.lookout import LONGEST_HOLD, QUICK, Lookout, withdraw
from uwsgi_deploy.worker.held import HeldResponses

_JOIN_TIMEOUT = 1.0
# A thread that waits for its client comes back to Python code this often, where it can be interrupted. Seconds.
_WAIT_SLICE = 0.2

# Runs one request on a core, whose response may be held if the flag says so; returns how long it took, in seconds.
Serve: TypeAlias = Callable[[Connection, int, bool], float]


def wait(fd: int, events: int, timeout: float) -> bool:
    """Block this thread until `fd` is ready for `events` (poll's constants); False after `timeout` seconds."""
    poller = poll()
    poller.register(fd, events)
    deadline = monotonic() + timeout
    while (left := deadline - monotonic()) > _WAIT_SLICE:
        if poller.poll(_WAIT_SLICE * 1000):
            return True
    return bool(poller.poll(max(left, 0.0) * 1000))


class ThreadsEngine:
    """Runs `cores` cores on `reactor` until `stopped` says so; `serve` gets a connection and the index of its core.

    stack_size: bytes of the stack of each thread; 0 leaves it to the system.
    on_core: called once by the thread of each core, before its first request, with the core's index.
    may_interrupt, interrupted: see `deadlines.Deadlines`.
    """

    def __init__(
        self,
        reactor: Reactor,
        serve: Serve,
        stopped: Callable[[], bool],
        held: HeldResponses,
        *,
        cores: int,
        stack_size: int = 0,
        on_core: Callable[[int], object] = lambda _core: None,
        may_interrupt: Callable[[int, float, FrameType | None], bool] = lambda _core, _started, _frame: False,
        interrupted: Callable[[int], object] = lambda _core: None,
    ) -> None:
        self._reactor, self._serve, self._stopped, self._cores = reactor, serve, stopped, cores
        self._held, self._on_core, self._stack_size = held, on_core, stack_size
        self._may_interrupt, self._interrupted = may_interrupt, interrupted
        self._main = get_ident()
        self._core_of: dict[int, int] = {}
        self._thread_of: dict[int, int] = {}
        self._leadership = threading.Lock()
        self._lookout = Lookout(held.flush if cores == 1 else self._rescue)
        self._quick = False

    def run(self) -> None:
        """Serve on this thread (core 0) and on others; returns when all have ended."""
        if self._cores == 1:
            self._run_alone()
            return
        threads = [
            threading.Thread(target=self._run_core, args=(core,), name=f"uWSGI core {core}", daemon=True)
            for core in range(1, self._cores)
        ]
        former = threading.stack_size(self._stack_size)
        for thread in threads:
            thread.start()
        threading.stack_size(former)  # threads of the application are its own affair
        self._run_core(0)
        for thread in threads:
            thread.join(_JOIN_TIMEOUT)  # a core that is stuck in its request goes with the process

    # -- from outside --------------------------------------------------------------------------------------------------

    def core_here(self) -> int | None:
        """See `engine.Engine`."""
        return self._core_of.get(get_ident())

    def frame_of(self, core: int) -> FrameType | None:
        """See `engine.Engine`."""
        thread = self._thread_of.get(core)
        return None if thread is None else sys._current_frames().get(thread)

    def interrupt(self, core: int, started: float) -> bool:
        """See `engine.Engine`. The main thread interrupts itself, in its handler of this signal, which ends what it
        waits in; other threads get their exception when they are back in Python code."""
        thread = self._thread_of.get(core)
        if thread is None:
            return False
        if thread == self._main:
            signal.pthread_kill(thread, INTERRUPT)
            return True
        frame = sys._current_frames().get(thread)
        place = frame.f_lasti if frame is not None else 0
        if frame is None or not self._may_interrupt(core, started, frame):
            return False
        injection.raise_in(thread, HarakiriTimeout)
        if sys._current_frames().get(thread) is not frame or frame.f_lasti != place:
            # On a busy machine it may have run since it was looked at, into code of the server's.
            injection.take_back(thread)
        self._interrupted(core)
        return True

    def hub_blocked(self) -> float:
        """See `engine.Engine`."""
        return 0.0

    # -- serving -------------------------------------------------------------------------------------------------------

    def _settle_here(self, core: int) -> None:
        """The calling thread is `core`."""
        thread = get_ident()
        self._core_of[thread], self._thread_of[core] = core, thread
        self._on_core(core)

    def _run_alone(self) -> None:
        reactor, serve, stopped = self._reactor, self._serve, self._stopped
        ready = reactor.ready
        self._settle_here(0)
        while not stopped():
            reactor.poll()
            if len(ready) > 1:
                self._serve_together()
            elif ready:
                self._quick = serve(ready.popleft(), 0, False) < QUICK

    def _serve_together(self) -> None:
        """As the only core serve all that is ready, and hold responses while requests are quick."""
        ready, serve, lookout, held = self._reactor.ready, self._serve, self._lookout, self._held
        quick = self._quick
        offer: list[bool] = []
        since = 0.0
        while ready:
            connection = ready.popleft()
            hold = quick and bool(ready)
            if hold and not offer:
                offer = lookout.offer()
            lookout.served += 1
            duration = serve(connection, 0, hold)
            quick = duration < QUICK
            since += duration
            if since > LONGEST_HOLD:
                held.flush()
                since = 0.0
        held.flush()
        self._quick = quick
        withdraw(offer)

    def _run_core(self, core: int) -> None:
        ready = self._reactor.ready
        self._settle_here(core)
        while True:
            try:
                connection = ready.popleft()
            except IndexError:
                if self._lead(core):
                    return
                continue
            self._serve_one(connection, core)

    def _serve_one(self, connection: Connection, core: int) -> None:
        reactor = self._reactor
        reactor.free_cores -= 1
        self._quick = self._serve(connection, core, False) < QUICK
        reactor.free_cores += 1

    def _lead(self, core: int) -> bool:
        """Be the leader until there is a request to serve without the lead; True when all is over."""
        reactor, ready, stopped = self._reactor, self._reactor.ready, self._stopped
        self._leadership.acquire()
        while True:
            while not ready and not stopped():
                reactor.poll()
            if stopped():
                self._leadership.release()
                return True
            if not self._quick:
                self._leadership.release()
                return False
            if not self._serve_while_leading(core):
                return False

    def _serve_while_leading(self, core: int) -> bool:
        """Serve what is ready while requests are quick, holding responses; whether this core still leads afterwards."""
        reactor, serve, lookout, held = self._reactor, self._serve, self._lookout, self._held
        ready = reactor.ready
        offer = lookout.offer()
        since = 0.0
        reactor.free_cores -= 1
        while ready and offer:
            try:
                connection = ready.popleft()
            except IndexError:  # a core that came back from a long request was faster
                break
            lookout.served += 1
            duration = serve(connection, core, bool(ready))
            since += duration
            if duration >= QUICK:
                self._quick = False
                break
            if since > LONGEST_HOLD:
                held.flush()
                since = 0.0
        held.flush()
        reactor.free_cores += 1
        return withdraw(offer)

    def _rescue(self) -> None:
        """On the lookout's thread: what the leader does not come to."""
        self._held.flush()
        self._leadership.release()
