"""Notices when nobody comes to run in a gevent worker because one greenlet does not let go, and says who it is.

A thread of the operating system asks the hub for a sign of life from time to time, and only while something runs in the
hub's thread; an idle worker is looked at, not woken. Requests pay nothing for it. Decides what is said and when; how
the hub is asked and what runs in it comes from the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import FrameType

from uwsgi_deploy.native import sleep, start_new_thread

# A limit is looked after in this many steps.
_STEPS = 4
# After a line about a hub that was blocked the next one comes at least this much later. Seconds.
_SILENCE = 10.0
_MOST_FRAMES = 60
# The server's function that calls the application: what is further out says nothing.
_ENTRANCE = ("uwsgi_deploy.wsgi.lifecycle", "handle_request")


class HubMonitor:
    """See the module. limit: seconds that the hub may be blocked.

    ping: has `pong` called in the hub; from this monitor's thread. running: the innermost frame in the hub's thread and
    what it is, a phrase; None while the hub itself waits for events. write: takes messages for the log.
    """

    def __init__(
        self,
        limit: float,
        *,
        ping: Callable[[], object],
        running: Callable[[], tuple[FrameType, str] | None],
        write: Callable[[str], object],
    ) -> None:
        self._limit, self._ping, self._running, self._write = limit, ping, running, write
        self._pinged_at = 0.0
        self._silent_until = 0.0
        self._untold = 0

    def start(self) -> None:
        """Watch from now on, until the process ends."""
        start_new_thread(self._run, ())

    @property
    def blocked(self) -> float:
        """Seconds since the hub was asked for a sign of life that it has not given yet; 0 when it is well."""
        since = self._pinged_at
        return monotonic() - since if since else 0.0

    def pong(self) -> None:
        """Called in the hub: it is alive."""
        self._pinged_at = 0.0

    def _run(self) -> None:
        step = self._limit / _STEPS
        pause = step
        while True:
            before = monotonic()
            sleep(pause)
            late = monotonic() - before - pause
            if late >= self._limit and (found := self._running()) is not None:
                self._tell(late, "held the interpreter", found)  # which this thread needs, too
            # While nothing runs it is enough to look now and then.
            pause = step if self.look() else min(pause * 1.5, self._limit)

    def look(self) -> bool:
        """Ask the hub for a sign of life, if something runs that may keep it from giving one, and wait for it."""
        if self._running() is None:
            return False
        self._pinged_at = asked_at = monotonic()
        self._ping()
        done = told = False
        while self._pinged_at:
            sleep(self._limit / _STEPS)
            if not done and self.blocked >= self._limit and (found := self._running()) is not None:
                done = True
                told = self._tell(self.blocked, "has kept all others waiting", found)
        if told:
            self._write(f"gevent: the hub runs again after {monotonic() - asked_at:.1f} s")
        return True

    def _tell(self, seconds: float, did: str, found: tuple[FrameType, str]) -> bool:
        """Say who it is, unless that was said of somebody a moment ago."""
        now = monotonic()
        if now < self._silent_until:
            self._untold += 1
            return False
        self._silent_until = now + _SILENCE
        frame, who = found
        more = f" ({self._untold} more since the last such line)" if self._untold else ""
        self._untold = 0
        lines = "\n".join(stack_lines(frame))
        self._write(f"gevent: {who} {did} for {seconds:.1f} s{more}; most recent call first:\n{lines}")
        return True


def stack_lines(frame: FrameType | None) -> list[str]:
    """A stack as Python shows one, most recent call first, out to the server's call of the application."""
    lines: list[str] = []
    while frame is not None and len(lines) < _MOST_FRAMES:
        code = frame.f_code
        if (frame.f_globals.get("__name__"), code.co_name) == _ENTRANCE:
            break
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno or code.co_firstlineno}, in {code.co_name}')
        frame = frame.f_back
    return lines
