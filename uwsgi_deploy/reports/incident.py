"""A late request as those saw it who took note of it: the facts that a report is made of (`reports.build`).

Made in the worker by its watchdog, when that has the interpreter, and by the master from outside, when it has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from uwsgi_deploy.reports.notes import RequestNotes


class Kind(Enum):
    """Which stage of harakiri it is."""

    SOFT = "soft"
    DEADLINE = "deadline"
    HARD = "hard"


class Outcome(Enum):
    """What became of the request, as far as is known when the report is made."""

    CONTINUES = "continues"
    ANSWERED = "answered_504"
    CUT = "cut"  # a part of the response was sent; the connection was cut
    KILLED = "killed"  # the worker was, with the request


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of a stack. module: the function's module, "" where unknown (faulthandler does not tell)."""

    file: str
    line: int
    function: str
    module: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    """What one thread or greenlet does, the most recent call first. name: for people ("core 3, GET /x")."""

    name: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class InFlight:
    """Another request that runs in the same server. Ages in seconds."""

    wid: int
    core: int
    method: str
    uri: str
    route: str
    age: float


@dataclass(frozen=True, slots=True)
class Incident:
    """See the module. Times are seconds; `at` is unix time, all others are durations.

    engine: prefork, threads or gevent. environ: the WSGI environ when the interpreter could be asked, else None.
    limit_origin: what set the limit (`harakiri`, `harakiri-routes: ^/export/`, `@harakiri`, `deadline()`).
    phase: reading body, application, streaming, closing. victim: the stack of the request's own thread or greenlet.
    capture: how the stacks were got: python, faulthandler, proc. kernel: `/proc/PID/wchan` and `syscall`, or empty.
    worker: age, requests, rss, cpu_user, cpu_system, fds, cores (seconds, bytes, numbers) as far as they are known.
    hub_blocked: seconds that a gevent hub has not come to run, 0 otherwise.
    notes: a `RequestNotes.snapshot()` that was made with the stacks, because a request that is interrupted ends its
    calls; without one the environ's are read, as they are when the report is filed.
    attempt, graceful: for uWSGI's first line of a hard stage. follows: the id of an earlier report of this request.
    """

    kind: Kind
    outcome: Outcome
    at: float
    wid: int
    pid: int
    core: int
    engine: str
    method: str
    uri: str
    client: str
    route: str
    age: float
    limit: float
    limit_origin: str
    phase: str = "application"
    queue: float | None = None
    body: float | None = None
    status: int = 0
    bytes_sent: int = 0
    environ: Mapping[str, Any] | None = None
    victim: Stack | None = None
    others: tuple[Stack, ...] = ()
    in_flight: tuple[InFlight, ...] = ()
    capture: tuple[str, ...] = ()
    kernel: Mapping[str, str] = field(default_factory=dict)
    hub_blocked: float = 0.0
    worker: Mapping[str, float] = field(default_factory=dict)
    generation: int = 0
    notes: RequestNotes | None = None
    attempt: int = 1
    graceful: bool = True
    follows: str = ""
