"""What a framework's middleware knows of a running request, put down for a report that may have to be made.

The middleware puts a `RequestNotes` into the environ under `NOTES` (`take_notes`); the server reads it from another
thread when the request is late, so everything in it is plain data, or a function that is quick, evaluates nothing and
asks no database. Code that does not see the environ finds the notes of its own request by `current_notes`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

NOTES = "uwsgi.notes"


@dataclass(slots=True)
class Call:
    """Something outside that the request waits for, or waited for: `kind` is `database`, `cache`, `http`; `target` the
    database's alias and vendor, the host; `text` the statement or the method and URL without its query, not yet
    redacted. Instants are monotonic seconds; ended is 0 while it runs. stop: ends the call from another thread, where
    it waits in C code and no exception comes through; takes a bounded time. See `halt`."""

    kind: str
    target: str
    text: str
    started: float
    ended: float = 0.0
    stop: Callable[[], object] | None = None
    halted: bool = False
    halting: bool = False

    def halt(self) -> None:
        """End the call from another thread, once. `halting` while that is done: who made the call waits for it, so that
        what comes too late does not hit another call."""
        if self.stop is None or self.halted:
            return
        self.halting = self.halted = True
        try:
            if not self.ended:
                self.stop()
        except Exception:
            pass  # it goes on, then, until its request is given up
        finally:
            self.halting = False


@dataclass(slots=True)
class RequestNotes:
    """See the module. route: the pattern; view: dotted name; url_name: Django's URL name or Flask's endpoint.

    user: returns the user's id if it has been looked up already, else None; it never looks it up.
    running: calls that have not ended. counts: calls so far by kind; spent: seconds of those that ended.
    redact: the framework's own rule: what a report may show of a setting, header, variable `name` with `value`.
    seen: of a snapshot, when it was made (monotonic seconds).
    """

    framework: str = ""
    route: str = ""
    view: str = ""
    url_name: str = ""
    user: Callable[[], object] | None = None
    running: list[Call] = field(default_factory=list)
    last: Call | None = None
    counts: dict[str, int] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    redact: Callable[[str, Any], Any] | None = None
    seen: float = 0.0

    def begin(self, call: Call) -> Call:
        """A call starts."""
        self.running.append(call)
        return call

    def end(self, call: Call, now: float) -> None:
        """A call ended, or failed."""
        call.ended = now
        self.running.remove(call)
        self.last = call
        self.counts[call.kind] = self.counts.get(call.kind, 0) + 1
        self.spent[call.kind] = self.spent.get(call.kind, 0.0) + now - call.started

    def snapshot(self) -> RequestNotes:
        """These notes as they are at this moment, for a report that is made later. From any thread."""
        running = [replace(call) for call in list(self.running)]
        counts, spent = dict(self.counts), dict(self.spent)
        user = self._user_now()
        return replace(self, running=running, counts=counts, spent=spent, user=lambda: user, seen=monotonic())

    def _user_now(self) -> object:
        """The user's id before the request forgets it: the adapter's function, which may be the application's."""
        try:
            return self.user() if self.user is not None else None
        except Exception:
            return None


# Not reset when the request is over, as its response may still be read then; the next one on this core replaces it.
_current: ContextVar[RequestNotes | None] = ContextVar("uwsgi.notes", default=None)


def take_notes(environ: dict[str, Any], framework: str) -> RequestNotes:
    """New notes of the request that begins here and now, in this thread or greenlet. For middlewares."""
    environ[NOTES] = notes = RequestNotes(framework)
    _current.set(notes)
    return notes


def current_notes() -> RequestNotes | None:
    """The notes of the request that this thread or greenlet runs; None where no middleware takes any."""
    return _current.get()
