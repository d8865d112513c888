"""Sinks at work: each has a lane of its own, in which reports wait for it alone.

A lane runs in a thread of its own while it has reports, or under gevent in a greenlet of the hub, because what is
patched there (locks, sockets, the queues of libraries) belongs to the hub. Whoever waits for a lane looks at `since`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from uwsgi_deploy.native import allocate_lock, start_new_thread
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.sinks.sink import Sink

# Reports that wait for one sink.
MOST_WAITING = 32

Task: TypeAlias = Callable[[], None]
Aside: TypeAlias = Callable[[Task], object]
"""Has a function run in a greenlet of a gevent worker's hub, soon; called from any thread."""


class Lane:
    """See the module. on_end: called in the lane with the id of a report that its sink has taken, or failed to take.

    since: when the sink was given the report that it has now, monotonic seconds; 0 while it has none.
    """

    def __init__(
        self, name: str, write: Callable[[str], None], on_end: Callable[[str, str], None], aside: Aside | None
    ) -> None:
        self.name, self.since, self.limit = name, 0.0, 0.0
        self._write, self._on_end, self._aside = write, on_end, aside
        self._lock = allocate_lock()  # never held over anything that can switch greenlets
        self._waiting: deque[tuple[Sink, Report]] = deque()
        self._runs = False
        self._complained_of = 0.0

    def give(self, sink: Sink, report: Report) -> bool:
        """Have the sink send the report after those that wait already; False when there are too many."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                return False
            self._waiting.append((sink, report))
            starts = not self._runs
            self._runs = True
        if starts:
            self._start()
        return True

    def is_stuck(self, now: float) -> bool:
        """Whether the sink has had its report for longer than it may. It is said once."""
        since = self.since
        if not since or now - since < self.limit:
            return False
        if self._complained_of != since:
            self._complained_of = since
            self._write(f"HARAKIRI: {self.name} has not taken a report within {self.limit:g} s; it gets no others")
        return True

    def forget(self) -> list[str]:
        """Drop the reports that wait for a sink that is stuck; their ids."""
        with self._lock:
            dropped = [report["id"] for _, report in self._waiting]
            self._waiting.clear()
        return dropped

    def _start(self) -> None:
        if self._aside is not None and sockets_are_patched():
            self._aside(self._run)
        else:
            start_new_thread(self._run, ())

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._runs = False
                    return
                sink, report = self._waiting.popleft()
            self.limit, self.since = sink.seconds, monotonic()
            try:
                sink.send(report, self._write)
            except BaseException as error:  # the application's own code: SystemExit, too
                self._write(f"HARAKIRI: {self.name} has failed with report {report['id']}: {error!r}")
            self.since = 0.0
            self._on_end(self.name, report["id"])


def sockets_are_patched() -> bool:
    """Whether a blocking call of the application's switches to another greenlet. gevent is not imported for this."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))
