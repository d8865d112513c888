"""The gevent engine: a core is a greenlet, and thousands of them wait in one thread. The only module that knows gevent.

gevent's hub watches the reactor's epoll descriptor. When it is readable a callback in the hub does a round of the
reactor, and switches straight into a pooled greenlet for each request that is complete; the greenlet comes back when
its request is over, or when the application waits for something. So an idle connection owns no greenlet, a quick
request costs two switches, and nothing is spawned for it.

In a round a greenlet that comes out of its request takes the next one that is ready. Quick answers of one round go out
together (`worker.held`); a lookout thread sends them when a request keeps the hub. A round ends after some
milliseconds, so that requests which have begun before and can go on do so before more are begun.

Greenlets are pooled, the last used first, so that few of them stay warm; those that were not needed for a minute end,
and with them what the application kept for each of its threads, such as database connections. Each request begins with
an empty `contextvars` context.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from functools import partial
from select import POLLIN, POLLOUT
from time import monotonic
from types import FrameType
from typing import Any

import gevent
from gevent import monkey
from gevent.hub import Hub, Waiter, get_hub
from greenlet import GreenletExit, getcurrent, greenlet

from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.native import get_ident
from uwsgi_deploy.net.watched import WatchedReactor
from uwsgi_deploy.process.signals import INTERRUPT
from uwsgi_deploy.shared.stack_dump import GREENLETS_SIGNAL, tell
from uwsgi_deploy.shared.stack_text import greenlets
from uwsgi_deploy.worker.engines.hub_monitor import HubMonitor
from uwsgi_deploy.worker.engines.lookout import LONGEST_HOLD, QUICK, Lookout, withdraw
from uwsgi_deploy.worker.engines.threads import Serve
from uwsgi_deploy.worker.held import HeldResponses

_READ, _WRITE = 1, 2  # of a loop's watchers
# How often the reactor's deadlines are looked at. Seconds.
_TICK, _DRAINING_TICK = 1.0, 0.05
# How long a round goes on beginning requests, before those that came first and can go on have their turn. Seconds.
_TURN = 0.005
# Cores that wait for a request longer than this end, all but some.
_UNUSED = 60.0
_SPARE = 8
_HUB_CODE = Hub.run.__code__


def patch() -> None:
    """Make the standard library cooperate, in a process that has only this thread."""
    monkey.patch_all()


def after_fork() -> None:
    """Part from the event loop of the process that this one was forked from."""
    gevent.reinit()


def join(timeout: float) -> None:
    """Let the application's own greenlets run until they have ended, at most `timeout` seconds."""
    get_hub().join(timeout)


def wait(fd: int, events: int, timeout: float) -> bool:
    """Let others run until `fd` is ready for `events` (poll's constants); False after `timeout` seconds."""
    hub = get_hub()
    waiter = Waiter(hub)
    timer = hub.loop.timer(timeout)
    watcher = hub.loop.io(fd, (_READ if events & POLLIN else 0) | (_WRITE if events & POLLOUT else 0))
    try:
        timer.start(waiter.switch, False)
        watcher.start(waiter.switch, True)
        return bool(waiter.get())
    finally:
        for one in (watcher, timer):
            one.stop()
            one.close()


class _Core(greenlet):  # type: ignore[misc]
    """A greenlet that runs requests, one after the other.

    index: its number. idle_since: monotonic seconds when it came into the pool last. frame: its outermost one.
    """

    __slots__ = ("frame", "idle_since", "index")

    def __init__(self, run: Callable[[], None], hub: Any, index: int) -> None:
        super().__init__(run, hub)
        self.index, self.idle_since = index, 0.0
        self.frame: FrameType | None = None


class GeventEngine:
    """Runs at most `cores` requests on `reactor` until `stopped` says so; `serve` gets a connection and its core.

    may_interrupt, interrupted: as for `threads.ThreadsEngine`. stack_size and on_core have no meaning: greenlets borrow
    the stack of their thread, and no core is a thread.
    """

    def __init__(
        self,
        reactor: WatchedReactor,
        serve: Serve,
        stopped: Callable[[], bool],
        held: HeldResponses,
        *,
        cores: int,
        stack_size: int = 0,  # noqa: ARG002
        on_core: Callable[[int], object] = lambda _core: None,  # noqa: ARG002
        may_interrupt: Callable[[int, float, FrameType | None], bool] = lambda _core, _started, _frame: False,
        interrupted: Callable[[int], object] = lambda _core: None,
    ) -> None:
        self._reactor, self._serve, self._stopped, self._held = reactor, serve, stopped, held
        self._ready = reactor.ready
        self._hub, self._main, self._thread = get_hub(), getcurrent(), get_ident()
        self._to_hub = partial(greenlet.switch, self._hub)
        self._cores: dict[int, _Core] = {}
        # Cores without a request, the last used last, and numbers that no core has, the lowest last.
        self._parked: list[_Core] = []
        self._unborn = list(range(cores - 1, -1, -1))
        self._lookout = Lookout(held.flush)
        # Whether requests are being started one after the other, before anything else runs in this thread.
        self._together = False
        self._quick = False
        self._since = self._until = 0.0
        self._over = False
        self._appetite = reactor.appetite
        self._may_interrupt, self._interrupted = may_interrupt, interrupted
        self._watcher = self._hub.loop.io(reactor.fileno(), _READ)
        self._timer = self._hub.loop.timer(_TICK, _TICK)
        self._monitor: HubMonitor | None = None
        self._ticks_at = 0.0
        # The master asks for the stacks of greenlets, which it cannot take from outside (`shared.stack_dump`).
        self._asked = self._hub.loop.signal(GREENLETS_SIGNAL, ref=False)

    # -- the hub's side ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop; the calling greenlet waits meanwhile."""
        self._watcher.start(self._round)
        self._asked.start(self._show)
        self._hub.loop.run_callback(self._round)  # the others are told that this worker is there
        try:
            while not self._over:
                self._hub.switch()
        finally:
            for watcher in (self._watcher, self._timer, self._asked):
                watcher.stop()
                watcher.close()

    def _round(self) -> None:
        """In the hub: one round of the reactor, and a core for every request that is ready."""
        reactor, ready, parked = self._reactor, self._ready, self._parked
        reactor.free_cores = min(len(parked) + len(self._unborn), self._appetite)
        reactor.poll()
        if ready:
            if len(ready) > 1:
                self._serve_together()
            elif parked:
                parked.pop().switch()
            elif self._unborn:
                self._born().switch()
        if not self._ticks_at or reactor.draining:
            self._see_to_ticks()
        reactor.rest(is_idle=bool(parked or self._unborn))
        if self._stopped() and not self._over:
            self._over = True
            self._main.switch()

    def _serve_together(self) -> None:
        """Begin all requests that are ready, and hold answers while requests are quick."""
        ready, parked, reactor = self._ready, self._parked, self._reactor
        offer = self._lookout.offer()
        self._since = 0.0
        self._until = until = reactor.now + _TURN
        self._together = True
        try:
            while ready and (parked or self._unborn) and reactor.now < until:
                core = parked.pop() if parked else self._born()
                core.switch()  # it goes on with the next request, as long as none waits for anything
                if not (parked and parked[-1] is core):
                    self._quick = False
                    self._held.flush()
                    reactor.now = monotonic()
        finally:
            self._together = False
            self._held.flush()
            withdraw(offer)

    def _born(self) -> _Core:
        index = self._unborn.pop()
        core = self._cores[index] = _Core(self._live, self._hub, index)
        return core

    # -- a core's side -------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        """A core: it takes a request whenever it is switched to from the pool."""
        core: _Core = getcurrent()
        core.frame = sys._getframe()
        ready, reactor = self._ready, self._reactor
        try:
            while True:
                self._serve_one(core)
                while self._together and ready and reactor.now < self._until:
                    self._serve_one(core)
                core.idle_since = reactor.now
                if not (self._parked or self._unborn):
                    reactor.has_room()
                self._parked.append(core)
                if ready and not self._together:
                    reactor.wake()  # all cores were busy: the next round begins what waits
                self._to_hub()
        except GreenletExit:
            pass
        finally:
            core.frame = None
            del self._cores[core.index]
            self._unborn.append(core.index)
            self._unborn.sort(reverse=True)

    def _serve_one(self, core: _Core) -> None:
        ready = self._ready
        connection = ready.popleft()
        core.gr_context = None
        self._lookout.served += 1
        duration = self._serve(connection, core.index, self._together and self._quick and bool(ready))
        self._quick = duration < QUICK
        if not self._together:  # if it was begun together with others, it had to wait meanwhile
            self._held.flush()
            return
        self._since += duration
        if self._since > LONGEST_HOLD:
            self._since = 0.0
            self._held.flush()

    # -- time ----------------------------------------------------------------------------------------------------------

    def _see_to_ticks(self) -> None:
        """Deadlines are looked at while there are any, and more often when the worker leaves."""
        tick = _DRAINING_TICK if self._reactor.draining else _TICK
        if self._ticks_at != tick and self._reactor.needs_ticks:
            self._timer.stop()
            self._timer.close()
            self._timer = self._hub.loop.timer(tick, tick)
            self._timer.start(self._tick)
            self._ticks_at = tick

    def _tick(self) -> None:
        self._round()
        if self._over:
            return
        self._end_unused()
        if not self._reactor.needs_ticks and len(self._parked) <= _SPARE:
            self._timer.stop()
            self._ticks_at = 0.0

    def _end_unused(self) -> None:
        """Let go of cores that a busier time needed; those used last stay."""
        before = self._reactor.now - _UNUSED
        parked = self._parked
        while len(parked) > _SPARE and parked[0].idle_since < before:
            parked.pop(0).throw(GreenletExit)

    def _show(self) -> None:
        """In the hub: tell where every greenlet is, the application's own, too."""
        cores = [(one.index, one.gr_frame) for one in self._cores.values() if one not in self._parked and one.gr_frame]
        own = {id(one) for one in (*self._cores.values(), self._hub, self._main)}
        others = [
            one.gr_frame
            for one in gc.get_objects()
            if isinstance(one, greenlet) and one.gr_frame is not None and id(one) not in own
        ]
        tell(greenlets(sorted(cores), others))

    # -- from outside --------------------------------------------------------------------------------------------------

    def core_here(self) -> int | None:
        """See `engine.Engine`."""
        here = getcurrent()
        return here.index if type(here) is _Core else None

    def frame_of(self, core: int) -> FrameType | None:
        """See `engine.Engine`."""
        one = self._cores.get(core)
        if one is None or one in self._parked:
            return None
        return one.gr_frame or self._frame_of_running(one)

    def _frame_of_running(self, one: _Core) -> FrameType | None:
        """The frame of the thread that all cores share, if this core is the one that runs in it."""
        innermost = sys._current_frames().get(self._thread)
        return innermost if innermost is not None and _outermost(innermost) is one.frame else None

    def interrupt(self, core: int, started: float) -> bool:
        """See `engine.Engine`. A core that waits gets its exception from the hub, which looks once more whether it is
        to have it; the one that keeps the thread to itself from a signal handler (`Deadlines.on_signal`)."""
        one = self._cores.get(core)
        if one is None:
            return False
        if one.gr_frame is None:
            signal.pthread_kill(self._thread, INTERRUPT)
        else:
            self._hub.loop.run_callback_threadsafe(self._throw_later, core, started)
        return True

    def _throw_later(self, core: int, started: float) -> None:
        """Its time may be over only because another one kept the hub: what has become ready meanwhile comes first."""
        loop = self._hub.loop
        timer = loop.timer(0.0)

        def due() -> None:
            timer.stop()
            timer.close()
            loop.run_callback(self._throw, core, started)  # when all events of this round were seen to

        timer.start(due)

    def _throw(self, core: int, started: float) -> None:
        one = self._cores.get(core)
        if one is not None and one.gr_frame is not None and self._may_interrupt(core, started, one.gr_frame):
            self._interrupted(core)
            one.throw(HarakiriTimeout())

    def aside(self, function: Callable[[], object]) -> None:
        """Have `function` run in a greenlet of its own, soon; from any thread."""
        self._hub.loop.run_callback_threadsafe(gevent.spawn, function)

    # -- what blocks the hub -------------------------------------------------------------------------------------------

    def watch_hub(self, limit: float, describe: Callable[[int], str], write: Callable[[str], object]) -> None:
        """Log who keeps the hub from running for `limit` seconds. describe: what to call a core's request."""
        self._monitor = monitor = HubMonitor(
            limit,
            ping=lambda: self._hub.loop.run_callback_threadsafe(monitor.pong),
            running=lambda: self._running(describe),
            write=write,
        )
        monitor.start()

    def hub_blocked(self) -> float:
        """See `engine.Engine`. Also 0 where nobody looks (gevent-block-limit)."""
        return self._monitor.blocked if self._monitor is not None else 0.0

    def _running(self, describe: Callable[[int], str]) -> tuple[FrameType, str] | None:
        innermost = sys._current_frames().get(self._thread)
        if innermost is None or innermost.f_code is _HUB_CODE:
            return None
        outermost = _outermost(innermost)
        for one in list(self._cores.values()):
            if one.frame is outermost:
                waiting = len(self._cores) - len(self._parked) - 1
                return innermost, f"{describe(one.index)} (while {waiting} other requests run)"
        if outermost.f_code is _HUB_CODE:
            return innermost, "a callback in the hub"
        return innermost, "a greenlet that the application has started"


def _outermost(frame: FrameType) -> FrameType:
    while frame.f_back is not None:
        frame = frame.f_back
    return frame
