"""What people and supervisors can tell the master, which signal says it, and how the answer goes back.

Every request gets exactly one final `Reply`. What `Reply.data` holds, by command:

- RELOAD and its kin: `{"reload": ID}`, the number to ask RELOAD_STATUS for. The reply comes when the reload was
  accepted, before the master re-executes itself.
- RELOAD_STATUS ID: `{"reload": ID, "state": "running" | "complete" | "failed", "reason": "" or the sentence}`; `ok` is
  False for a number nobody knows. Outcomes survive the master's re-execution; the last few are kept.
- STATUS: see `master.status`.
- INFLIGHT and DUMP: see `master.on_demand`. The final reply to DUMP comes when the stacks are there, within a second or
  so; another one that is not final comes at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias


class Command(Enum):
    """One thing the master can be told."""

    STOP = "stop"  # gracefully; when it is stopping already: at once
    STOP_NOW = "stop now"
    DRAIN = "drain"  # stop, but the master stays until it is told to stop
    RESTART = "restart"  # all workers leave, then everything is loaded anew under the same pid
    RELOAD = "reload"  # everything: configuration, server code, application
    BRUTAL_RELOAD = "brutal reload"
    CHAIN_RELOAD = "chain reload"  # workers only, one at a time in order
    WORKERS_RELOAD = "workers reload"  # workers only
    BRUTAL_WORKERS_RELOAD = "brutal workers reload"
    RELOAD_STATUS = "reload status"  # arguments: the number of a reload
    RECYCLE_WORKERS = "recycle workers"  # arguments: worker numbers, none means all
    MORE_WORKERS = "more workers"  # arguments: how many, none means one
    FEWER_WORKERS = "fewer workers"
    GO_CHEAP = "go cheap"  # no workers until a client connects
    WAKE = "leave cheap mode"
    PAUSE = "pause"  # serve nobody until RESUME
    RESUME = "resume"
    TOGGLE_PAUSE = "toggle pause"
    REOPEN_LOG = "reopen log"
    ROTATE_LOG = "rotate log"
    WRITE_PIDFILES = "write pidfiles"
    STATISTICS = "statistics"  # into the log
    STATUS = "status"
    INFLIGHT = "inflight"  # arguments: the least age in seconds, how many at most
    DUMP = "dump"  # arguments: numbers of workers, none means all


@dataclass(frozen=True, slots=True)
class Reply:
    """What the master says to whoever asked. final: nothing more follows."""

    ok: bool
    message: str
    final: bool = True
    data: Mapping[str, Any] | None = None


Answer: TypeAlias = Callable[[Reply], None]


@dataclass(frozen=True, slots=True)
class Request:
    """A command on its way to the master.

    origin: who said it, for the log (`SIGHUP`, `master FIFO`). answer: takes replies, the last one final; None when
    nobody listens.
    """

    command: Command
    origin: str
    arguments: tuple[str, ...] = ()
    answer: Answer | None = None

    def reply(self, reply: Reply) -> None:
        """Answer, if somebody listens."""
        if self.answer is not None:
            self.answer(reply)


BY_SIGNAL: Mapping[int, Command] = {
    signal.SIGTERM: Command.STOP,
    signal.SIGINT: Command.STOP,
    signal.SIGQUIT: Command.STOP_NOW,
    signal.SIGHUP: Command.RELOAD,
    signal.SIGUSR1: Command.STATISTICS,
    signal.SIGTTIN: Command.MORE_WORKERS,
    signal.SIGTTOU: Command.FEWER_WORKERS,
    signal.SIGTSTP: Command.TOGGLE_PAUSE,
}
# Taken without effect, so that a tool that sends them does not end the server.
UNUSED_SIGNALS = (signal.SIGUSR2,)

# Several senders mean the same stop: honcho and a terminal signal the whole group, Heroku may send SIGTERM twice. A
# repetition within this many seconds of the first is no impatience. People do not press Ctrl-C twice within 0.2 s.
# The FIFO and the control socket have another word for "at once": from them a repetition never is impatience.
SAME_STOP: Mapping[str, float] = {
    "SIGTERM": 1.0,
    "SIGINT": 0.2,
    "master FIFO": float("inf"),
    "control socket": float("inf"),
}


def request_of(number: int, *, die_on_term: bool) -> Request | None:
    """What a signal tells the master; without die-on-term SIGTERM is uWSGI 2.0's brutal reload."""
    command = BY_SIGNAL.get(number)
    if number == signal.SIGTERM and not die_on_term:
        command = Command.BRUTAL_RELOAD
    return None if command is None else Request(command, signal.Signals(number).name)
