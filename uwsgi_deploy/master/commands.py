"""What people and supervisors can tell the master, which signal says it, and how the answer goes back."""

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
    RELOAD = "reload"
    BRUTAL_RELOAD = "brutal reload"
    STATISTICS = "statistics"


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
}
# Taken without effect, so that a tool that sends them does not end the server.
UNUSED_SIGNALS = (signal.SIGUSR2,)

# Several senders mean the same stop: honcho and a terminal signal the whole group, Heroku may send SIGTERM twice. A
# repetition within this many seconds of the first is no impatience. People do not press Ctrl-C twice within 0.2 s.
SAME_STOP: Mapping[str, float] = {"SIGTERM": 1.0, "SIGINT": 0.2}


def request_of(number: int, *, die_on_term: bool) -> Request | None:
    """What a signal tells the master; without die-on-term SIGTERM is uWSGI 2.0's brutal reload."""
    command = BY_SIGNAL.get(number)
    if number == signal.SIGTERM and not die_on_term:
        command = Command.BRUTAL_RELOAD
    return None if command is None else Request(command, signal.Signals(number).name)
