"""The deadlines of a worker's requests: who wants which, and how a request is interrupted without harming another one.

`HarakiriTimeout` is raised in the thread or greenlet that runs a late request. It must hit that request and no other,
and the application's code, never the server's around it. For the first there is a protocol between the core, which ends
its request, and the watchdog, which has it interrupted:

    core       running[core] = None                      watchdog     watched[core] = started
               if watched[core]: settle                               if the request still runs and is late: interrupt

Both sides store before they look, so one of them sees the other; `settle` waits until the watchdog is through and takes
back an exception that has not come yet. A request that is in time pays two stores and a look. For the second there is
`is_interruptible`, which looks at the stack.

Everything that applications ask for (`api.deadlines`) ends here, too.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from types import FrameType
from typing import Any

from uwsgi_deploy.api.deadlines import on_timeout_callbacks
from uwsgi_deploy.config.routes import RouteLimits, routes_of
from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.native import allocate_lock, get_ident
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.shared.scoreboard import CoreRecords, RequestPhase
from uwsgi_deploy.worker import injection
from uwsgi_deploy.wsgi.lifecycle import TAKEN, Outcome, answer_timeout
from uwsgi_deploy.wsgi.response import CLOSING, Response

_ANSWERED = int(RequestPhase.ANSWERED)
# How much later than it might the master may notice a request that got its limit after it had begun, in seconds.
_UNTOLD = 0.25

# Functions of the server that call the application: what runs inside of them is the application's.
CALLERS = frozenset(
    {
        ("uwsgi_deploy.wsgi.lifecycle", "handle_request"),
        ("uwsgi_deploy.wsgi.lifecycle", "_close"),
        ("uwsgi_deploy.wsgi.response", "Response._first_block"),
        ("uwsgi_deploy.wsgi.response", "BlockStream.run"),
        ("uwsgi_deploy.wsgi.file_wrapper", "FileWrapper.__next__"),
        ("uwsgi_deploy.wsgi.file_wrapper", "FileWrapper.close"),
        ("uwsgi_deploy.wsgi.apps", "Mounts.__call__"),
        ("uwsgi_deploy.wsgi.static", "StaticFiles.__call__"),
        ("uwsgi_deploy.wsgi.routing.front", "Front.__call__"),
        ("uwsgi_deploy.wsgi.packet_variables", "PacketVariables.__call__"),
        ("uwsgi_deploy.api.module", "Api.hook.<locals>.call"),
        ("uwsgi_deploy.api.deadlines", "harakiri.<locals>.decorate.<locals>.limited"),
    }
)
# Modules all of whose functions are between the application and a library that it calls.
WRAPPERS = frozenset({"uwsgi_deploy.api.instrumentation"})
# Functions that may be interrupted themselves: a core waits for its client there, or for a regular expression.
WAITS = frozenset(
    {
        ("uwsgi_deploy.worker.engines.threads", "wait"),
        ("uwsgi_deploy.worker.engines.gevent", "wait"),
        ("uwsgi_deploy.wsgi.routing.chain", "Chain.run"),
        ("uwsgi_deploy.wsgi.routing.chain", "find"),
    }
)


def is_at_work(frame: FrameType) -> bool:
    """Whether the server's own code runs in this innermost frame, and does not wait for the client."""
    module = frame.f_globals.get("__name__") or ""
    return module.startswith("uwsgi_deploy.") and (module, frame.f_code.co_qualname) not in WAITS


def is_interruptible(frame: FrameType | None) -> bool:
    """Whether an exception may be raised in this innermost frame of a core: the application runs there, or the server
    waits for the client. Not where the server's own code is at work, which could not go on."""
    innermost = frame
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.startswith("uwsgi_deploy."):
            place = (module, frame.f_code.co_qualname)
            return place in WAITS or (frame is not innermost and (place in CALLERS or module in WRAPPERS))
        frame = frame.f_back
    return False


@dataclass(slots=True)
class Wishes:
    """What the application wants for the request that began at `started`. Monotonic seconds.

    user: uwsgi.set_user_harakiri's. blocks: of `deadline()`, outermost first. origin: where the request's own limit
    comes from. unlimited: it was said to have none. handled: somebody caught its timeout and answers.
    """

    started: float
    user: float = inf
    blocks: list[Block] = field(default_factory=list)
    origin: str = ""
    unlimited: bool = False
    handled: bool = False


@dataclass(slots=True, eq=False)
class Block:
    """A `deadline()` block: until when, and whose."""

    until: float
    core: int
    started: float


@dataclass(frozen=True, slots=True)
class End:
    """How a request ended that the watchdog had an eye on."""

    started: float
    at: float
    outcome: Outcome
    status: int


class Deadlines:
    """See the module. One for all cores of a worker; `api.deadlines.Control` for its application.

    running: the response of each core's request; None when nothing of it may be interrupted any more.
    watched: when the request of a core began that the watchdog wants to hear about; 0 for none.
    core_here: see `engines.engine.Engine`; set when there is one.
    """

    def __init__(self, settings: HarakiriSettings, records: CoreRecords, write: Callable[[str], object]) -> None:
        cores = len(records.writers)
        self.records, self._write = records, write
        self.usual_limit = settings.harakiri or inf
        self.soft_limit = settings.soft_harakiri or inf
        self.routes: RouteLimits = routes_of(settings.harakiri_routes)
        self.running: list[Response | None] = [None] * cores
        self.watched: list[float] = [0.0] * cores
        self.interrupted_at: list[float] = [0.0] * cores
        self.ends: dict[int, End] = {}
        self.lock = allocate_lock()
        self.core_here: Callable[[], int | None] = lambda: None
        # The watchdog's: look again now; and take note of a request that is interrupted without its doing.
        self.wake: Callable[[float], object] = lambda _instant: None
        self.witness: Callable[[int, float, FrameType | None], object] = lambda _core, _started, _frame: None
        # The master's, which sleeps as long as it knows of no request that can be due: the shortest limit is another
        # now, or a request that has run for a while got one (None).
        self.tell_master: Callable[[float | None], object] = lambda _shortest: None
        self._shortest = min(self.usual_limit, self.routes.shortest, *self.routes.names.values())
        self._wishes: dict[int, Wishes] = {}

    # -- what is known of a request ------------------------------------------------------------------------------------

    def due(self, core: int) -> float:
        """When the request of a core should have ended; monotonic seconds, inf for never."""
        records = self.records
        return min(records.deadlines[core], records.user_deadlines[core])

    def wishes(self, core: int) -> Wishes | None:
        """What the application wants for the core's present request, if it said anything."""
        wishes = self._wishes.get(core)
        return wishes if wishes is not None and wishes.started == self.records.begun[core] else None

    def origin(self, core: int) -> str:
        """What has set the limit that counts."""
        wishes, records = self.wishes(core), self.records
        if records.user_deadlines[core] < records.deadlines[core]:
            return "deadline()" if wishes and wishes.user > records.user_deadlines[core] else "uwsgi.set_user_harakiri"
        return wishes.origin if wishes and wishes.origin else "harakiri"

    def limit_of_path(self, path: str, core: int, started: float) -> float:
        """The limit of a request in seconds, by `harakiri-routes`; for workers that have some about paths."""
        found = self.routes.of_path(path)
        if found is None:
            return self.usual_limit
        limit, pattern = found
        self._wishes[core] = Wishes(started, origin=f"harakiri-routes: {pattern}", unlimited=limit == inf)
        return limit

    # -- interrupting --------------------------------------------------------------------------------------------------

    def may_interrupt(self, core: int, started: float, frame: FrameType | None) -> bool:
        """Whether the request that began at `started` still runs on `core`, is late, and can be interrupted where it
        is: in this innermost frame."""
        wishes = self.wishes(core)
        return (
            self.running[core] is not None
            and self.records.begun[core] == started
            and self.due(core) <= monotonic()
            and not (wishes is not None and wishes.handled)
            and is_interruptible(frame)
        )

    def interrupted(self, core: int) -> None:
        """An exception was raised in the core's request."""
        self.interrupted_at[core] = monotonic()

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """The handler of `signals.INTERRUPT`, in the main thread: raise HarakiriTimeout if what runs there is late.

        The watchdog sends it; where somebody holds the interpreter, the master does.
        """
        core = self.core_here()
        if core is None:
            return
        started = self.records.begun[core]
        if not started or not self.may_interrupt(core, started, frame):
            return
        self.watched[core] = started
        self.witness(core, started, frame)  # of no effect where the watchdog has seen to it
        self.interrupted(core)
        limit = self.due(core) - started
        raise HarakiriTimeout(f"the request has run for longer than {round(limit, 2):g} s", limit=limit)

    def settle(self, core: int) -> None:
        """Called on the core when its request is over (`running[core]` is None): nothing comes any more."""
        with self.lock:
            injection.take_back(get_ident())
            self.watched[core] = 0.0

    def conclude(self, core: int, environ: Environ, response: Response, outcome: Outcome | None) -> Outcome:
        """On the core, after `settle`: how a request ends that was watched. outcome: None when it was interrupted."""
        records = self.records
        if records.phases[core] == _ANSWERED:
            outcome = TAKEN
        elif outcome is None:
            outcome = answer_timeout(environ, response)
            records.phases[core] = CLOSING  # nobody else is to answer, however long the callbacks take
            self._call_back()
        started = records.begun[core]
        self.ends[core] = End(started, monotonic(), outcome, response.status)
        self.wake(0.0)
        return outcome

    def _call_back(self) -> None:
        for callback in list(on_timeout_callbacks):
            try:
                callback()
            except Exception:
                self._write(f"a function of uwsgi_deploy.on_timeout failed:\n{traceback.format_exc().rstrip()}")

    # -- what applications ask for -------------------------------------------------------------------------------------

    def limit_request(self, core: int, seconds: float, origin: str) -> None:
        """The request of `core` may run for `seconds`, inf for ever, from its begin."""
        wishes = self._here(core)
        wishes.origin, wishes.unlimited = origin, seconds == inf
        self.records.deadlines[core] = until = wishes.started + seconds
        if seconds < self._shortest:
            self._shortest = seconds
            self.tell_master(seconds)
        elif until - monotonic() < self._shortest - _UNTOLD:
            self.tell_master(None)
        self.wake(until)

    def converse(self, core: int) -> None:
        """The application on `core` took its connection over: it may talk for hours, and nobody may answer for it."""
        self.limit_request(core, inf, "its connection was taken over")
        self.records.set_phase(core, RequestPhase.RESPONDING)

    def limit(self, seconds: float | None, origin: str) -> None:
        """See `api.deadlines.Control`."""
        if (core := self.core_here()) is not None:
            self.limit_request(core, inf if seconds is None else seconds, origin)

    def extend(self, seconds: float) -> None:
        """See `api.deadlines.Control`."""
        if (core := self.core_here()) is None:
            return
        now, records, wishes = monotonic(), self.records, self._here(core)
        if records.deadlines[core] != inf:
            records.deadlines[core] = until = max(records.deadlines[core], now) + seconds
            wishes.origin = f"{self.origin(core).removesuffix(EXTENDED)}{EXTENDED}"
            self.wake(until)
        if wishes.user != inf:
            wishes.user = max(wishes.user, now) + seconds
            self._store_user(core, wishes)

    def set_user_limit(self, seconds: float) -> bool:
        """See `api.deadlines.Control`."""
        core = self.core_here()
        if core is None:
            return False
        wishes = self._here(core)
        wishes.user = monotonic() + seconds if seconds > 0 else inf
        self._store_user(core, wishes)
        if 0 < seconds < self._shortest:
            self._shortest = seconds
            self.tell_master(seconds)
        return True

    def enter(self, seconds: float) -> Block | None:
        """See `api.deadlines.Control`."""
        if (core := self.core_here()) is None:
            return None
        wishes = self._here(core)
        block = Block(monotonic() + seconds, core, wishes.started)
        wishes.blocks.append(block)
        self._store_user(core, wishes)
        if seconds < self._shortest:
            self._shortest = seconds
            self.tell_master(seconds)
        return block

    def leave(self, block: object) -> None:
        """See `api.deadlines.Control`. May be called again for the same block."""
        if not isinstance(block, Block) or (wishes := self.wishes(block.core)) is None:
            return
        if wishes.started == block.started and block in wishes.blocks:
            del wishes.blocks[wishes.blocks.index(block) :]
            self._store_user(block.core, wishes)
            if self.watched[block.core] and self.due(block.core) > monotonic():
                with self.lock:
                    injection.take_back(get_ident())

    def name_route(self, environ: dict[str, Any], route: str, name: str) -> None:
        """See `api.deadlines.Control`."""
        core = self.core_here()
        if core is None:
            core = next((i for i, one in enumerate(self.running) if one and one.connection.environ is environ), None)
            if core is None:
                return
        self.records.set_route(core, route or name)
        names = self.routes.names
        for known in (name, route):
            if known in names:
                self.limit_request(core, names[known], f"harakiri-routes: {known}")
                return

    def timed_out(self) -> None:
        """See `api.deadlines.Control`."""
        core = self.core_here()
        if core is not None and not (wishes := self._here(core)).handled:
            wishes.handled = True
            self._call_back()

    def _here(self, core: int) -> Wishes:
        wishes = self.wishes(core)
        if wishes is None:
            wishes = self._wishes[core] = Wishes(self.records.begun[core])
        return wishes

    def _store_user(self, core: int, wishes: Wishes) -> None:
        until = min((block.until for block in wishes.blocks), default=inf)
        self.records.user_deadlines[core] = until = min(until, wishes.user)
        self.wake(until)


EXTENDED = " and extend_deadline()"
