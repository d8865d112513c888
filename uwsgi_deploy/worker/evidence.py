"""What a worker itself can say of its late request, while its interpreter runs: stacks, times, what else goes on.

Called by the watchdog, and in the main thread where that interrupts itself. Takes some milliseconds with many threads;
nothing here waits for anything.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from time import monotonic, time
from types import FrameType

from uwsgi_deploy.native import get_ident, sleep
from uwsgi_deploy.process import memory
from uwsgi_deploy.reports.incident import Frame, Incident, InFlight, Kind, Outcome, Stack
from uwsgi_deploy.reports.notes import NOTES, RequestNotes
from uwsgi_deploy.shared.scoreboard import BANKS, Field, RequestPhase, Scoreboard
from uwsgi_deploy.worker.deadlines import Deadlines, is_at_work
from uwsgi_deploy.worker.engines.engine import Engine
from uwsgi_deploy.wsgi.response import Response

MOST_FRAMES = 100
MOST_STACKS = 100
MOST_IN_FLIGHT = 100
_ENTRANCE = ("uwsgi_deploy.wsgi.lifecycle", "handle_request")
_HANDLER = ("uwsgi_deploy.worker.deadlines", "Deadlines.on_signal")
_READING = ("uwsgi_deploy.wsgi.body", "LiveBody.readinto")
# Looks at a core that is in the server's own code. Seconds.
_PAUSES = (0.001, 0.003, 0.01)


class Evidence:
    """Makes incidents of one worker. engine_name: as `Incident.engine`; born: monotonic seconds."""

    def __init__(
        self, scoreboard: Scoreboard, wid: int, deadlines: Deadlines, engine: Engine, *, engine_name: str, born: float
    ) -> None:
        self._scoreboard, self._wid, self._deadlines, self._engine = scoreboard, wid, deadlines, engine
        self._engine_name, self._born = engine_name, born

    def incident(
        self, stage: str, core: int, started: float, response: Response, *, frame: FrameType | None = None
    ) -> Incident:
        """The request that began at `started` (monotonic) on `core` as it is now. frame: its innermost one, if the
        caller has it. stage: soft, deadline or hard. The outcome is what it is then if nothing else happens."""
        now, deadlines = monotonic(), self._deadlines
        record = self._scoreboard.record(self._wid)
        request = self._scoreboard.own_request(self._wid, core)
        connection, environ = response.connection, response.connection.environ
        kind = Kind(stage)
        soft = kind is Kind.SOFT
        stack = frames_of(self._settled_frame(core) if frame is None else frame)
        has_body = connection.body is not None
        found = None if environ is None else environ.get(NOTES)
        return Incident(
            kind=kind,
            outcome=Outcome.CONTINUES if soft else Outcome.CUT if response.started else Outcome.ANSWERED,
            at=time(),
            wid=self._wid,
            pid=os.getpid(),
            core=core,
            engine=self._engine_name,
            hub_blocked=self._engine.hub_blocked(),
            method=request.method,
            uri=request.uri,
            client=request.address,
            route=request.route,
            age=now - started,
            limit=deadlines.soft_limit if soft else deadlines.due(core) - started,
            limit_origin="soft-harakiri" if soft else deadlines.origin(core),
            phase=_phase(request.phase, response, stack),
            queue=max(0.0, started - connection.deadline),
            body=max(0.0, connection.deadline - connection.body_since) if has_body else None,
            status=response.status if response.started else 0,
            bytes_sent=response.head_size + response.sent_body,
            environ=None if environ is None else dict(environ),
            victim=Stack(f"core {core}, {request.method} {request.uri}", stack),
            others=tuple(self._others(core)),
            in_flight=tuple(self._in_flight(core, now)),
            capture=("python",),
            worker=self._facts(now),
            generation=record[Field.GENERATION],
            notes=found.snapshot() if isinstance(found, RequestNotes) else None,
        )

    def _settled_frame(self, core: int) -> FrameType | None:
        """The innermost frame of a core, but not one of the server's own work, which is over in a moment.

        This thread comes to run when others let go of the interpreter, and a core does so whenever it sends something:
        a stream would mostly be found there, and not where the application makes its blocks.
        """
        frame = self._engine.frame_of(core)
        for pause in _PAUSES:
            if frame is not None and not is_at_work(frame):
                break
            sleep(pause)
            frame = self._engine.frame_of(core) or frame
        return frame

    def _others(self, victim: int) -> Iterator[Stack]:
        """The stacks of the worker's other requests, then those of its other threads."""
        engine, deadlines = self._engine, self._deadlines
        left = MOST_STACKS
        seen: set[int] = {get_ident()}
        frames = sys._current_frames()
        for core, response in enumerate(deadlines.running):
            if left <= 0:
                break
            if response is None and core != victim:
                continue
            frame = engine.frame_of(core)
            seen.update(thread for thread, innermost in frames.items() if innermost is frame)
            if core == victim or frame is None:
                continue
            left -= 1
            request = self._scoreboard.own_request(self._wid, core)
            yield Stack(f"core {core}, {request.method} {request.uri}", frames_of(frame))
        # Not threading.enumerate(), whose lock is gevent's where that has patched it.
        names = {ident: str(thread.name) for ident, thread in dict(vars(threading).get("_active", {})).items()}
        for thread, frame in frames.items():
            if thread not in seen and left > 0:
                left -= 1
                yield Stack(names.get(thread, "a thread"), frames_of(frame))

    def _in_flight(self, victim: int, now: float) -> Iterator[InFlight]:
        board = self._scoreboard
        own = board.own_bank(self._wid)
        left = MOST_IN_FLIGHT
        for wid in range(1, board.workers + 1):
            for bank in range(BANKS):
                for running in board.running(wid, bank):
                    if left <= 0:
                        return
                    if wid == self._wid and bank == own and running.core == victim:
                        continue
                    left -= 1
                    request = board.request(wid, bank, running.core)
                    yield InFlight(wid, running.core, request.method, request.uri, request.route, now - running.started)

    def _facts(self, now: float) -> dict[str, float]:
        record, times, used = self._scoreboard.record(self._wid), os.times(), memory.usage()
        facts: dict[str, float] = {
            "age": now - self._born,
            "requests": record[Field.DELTA_REQUESTS],
            "cpu_user": times.user,
            "cpu_system": times.system,
            "cores": self._scoreboard.cores,
        }
        if used is not None:
            facts["rss"] = used.resident
        try:
            facts["fds"] = len(os.listdir("/proc/self/fd"))
        except OSError:
            pass
        return facts


def frames_of(frame: FrameType | None) -> tuple[Frame, ...]:
    """The frames of a stack, the most recent call first, as far out as the request goes."""
    frames: list[Frame] = []
    while frame is not None and len(frames) < MOST_FRAMES:
        module, code = str(frame.f_globals.get("__name__") or ""), frame.f_code
        if (module, code.co_qualname) == _ENTRANCE:
            break
        if (module, code.co_qualname) == _HANDLER:
            frames.clear()  # the main thread is about to interrupt itself: what it was doing is of interest
            frame = frame.f_back
            continue
        frames.append(Frame(code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname, module))
        frame = frame.f_back
    return tuple(frames)


def _phase(phase: RequestPhase, response: Response, stack: tuple[Frame, ...]) -> str:
    if any((frame.module, frame.function) == _READING for frame in stack):
        return "reading body"
    if phase is RequestPhase.CLOSING:
        return "closing"
    return "streaming" if response.started else "application"
