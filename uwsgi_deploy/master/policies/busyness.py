"""uWSGI's cheaper algorithm `busyness`: which part of the last window did the workers spend in requests, on average?

Above the maximum workers are started, at the end of a window. Below the minimum one is stopped, but only some windows
(the multiplier) after the last change; and if it is missed soon, the multiplier grows, so that a load that comes in
waves does not make workers come and go. A queue of waiting clients is an emergency and does not wait for the window.
"""

from __future__ import annotations

from uwsgi_deploy.config.settings import CheaperSettings
from uwsgi_deploy.master.load import Load

# Windows between the limits in a row after which the time until a stop begins anew.
TOLERANCE = 3


class Busyness:
    """See the module, and `policies.algorithms.Algorithm`."""

    def __init__(self, settings: CheaperSettings) -> None:
        self._settings = settings
        self._window = float(settings.cheaper_overload)
        self._multiplier = settings.cheaper_busyness_multiplier
        self._worked: dict[int, float] = {}
        self._window_began: float | None = None
        self._next_stop = self._last_stop = 0.0
        self._between = 0
        self._emergency_workers = 0
        self._queue_since: float | None = None

    def decide(self, load: Load) -> tuple[int, str]:
        """See `Algorithm`."""
        now = load.now
        if self._window_began is None:
            self._begin_window(load)
            self._put_off_stop(now)
        if emergency := self._emergency(load):
            return emergency
        began = self._window_began
        if began is None or now - began < self._window:
            return 0, ""
        average = self._average(load, now - began)
        self._begin_window(load)
        return self._judge(load, average)

    def _begin_window(self, load: Load) -> None:
        self._window_began = load.now
        self._worked = {worker.wid: worker.worked for worker in load.workers}

    def _average(self, load: Load, seconds: float) -> float:
        """Percent of the window that the workers spent in requests; as in uWSGI several cores count as one."""
        if not load.workers:
            return 0.0
        shares = [
            min(100.0, max(0.0, 100.0 * (worker.worked - self._worked.get(worker.wid, worker.worked)) / seconds))
            for worker in load.workers
        ]
        return sum(shares) / len(shares)

    def _judge(self, load: Load, average: float) -> tuple[int, str]:
        settings = self._settings
        said = f"[busyness] {self._window:g}s average busyness is at {average:.0f}%"
        if average > settings.cheaper_busyness_max:
            self._between = 0
            return self._start(load, said)
        if average < settings.cheaper_busyness_min:
            self._between = 0
            return self._stop(load, said)
        self._between += 1
        if self._between >= TOLERANCE:
            self._between = 0
            self._put_off_stop(load.now)
        else:
            self._next_stop += self._window
        return 0, said if settings.cheaper_busyness_verbose else ""

    def _start(self, load: Load, said: str) -> tuple[int, str]:
        settings = self._settings
        count = min(settings.cheaper_step, load.spare)
        if not count:
            return 0, f"{said}, no more workers can be started" if settings.cheaper_busyness_verbose else ""
        line = f"{said}, will spawn {count} new worker(s)"
        if self._last_stop and load.now - self._last_stop <= self._window * self._multiplier:
            self._multiplier += settings.cheaper_busyness_penalty
            penalty = f"increasing cheaper multiplier to {self._multiplier} (+{settings.cheaper_busyness_penalty})"
            line = f"{line}\n[busyness] worker(s) respawned to fast, {penalty}"
        else:
            self._relax()
        self._put_off_stop(load.now)
        return count, line

    def _stop(self, load: Load, said: str) -> tuple[int, str]:
        settings = self._settings
        if load.active <= settings.cheaper or load.now < self._next_stop:
            return 0, said if settings.cheaper_busyness_verbose else ""
        self._last_stop = load.now
        self._emergency_workers = max(0, self._emergency_workers - 1)
        self._relax()
        self._put_off_stop(load.now)
        return -1, f"{said}, cheap one of {load.active} running workers"

    def _emergency(self, load: Load) -> tuple[int, str] | None:
        """What a queue asks for, at any time."""
        settings = self._settings
        if not load.backlog:
            self._queue_since = None
            return None
        if self._queue_since is None:
            self._queue_since = load.now
        too_many = load.backlog > settings.cheaper_busyness_backlog_alert
        too_long = load.now - self._queue_since >= settings.cheaper_busyness_backlog_nonzero
        count = min(settings.cheaper_busyness_backlog_step, load.spare)
        if not (too_many or too_long) or not count:
            return None
        self._queue_since = load.now
        self._emergency_workers += count
        self._put_off_stop(load.now)
        return count, f"[busyness] {load.backlog} client(s) in the listen queue, will spawn {count} emergency worker(s)"

    def _put_off_stop(self, now: float) -> None:
        """The time until a worker may be stopped begins now."""
        if self._emergency_workers:
            windows = self._settings.cheaper_busyness_backlog_multiplier
        else:
            windows = self._multiplier
        self._next_stop = now + self._window * windows

    def _relax(self) -> None:
        """A step back to the multiplier of the settings."""
        if self._multiplier > self._settings.cheaper_busyness_multiplier:
            self._multiplier -= 1
