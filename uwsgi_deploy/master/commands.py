"""What people and supervisors can tell the master, and which signal says it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import Enum


class Command(Enum):
    """One thing the master can be told."""

    STOP = "stop"  # gracefully; when it is stopping already: at once
    STOP_NOW = "stop now"
    RELOAD = "reload"
    BRUTAL_RELOAD = "brutal reload"
    STATISTICS = "statistics"


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
SAME_STOP: Mapping[int, float] = {signal.SIGTERM: 1.0, signal.SIGINT: 0.2}


def command_of(number: int, *, die_on_term: bool) -> Command | None:
    """What a signal tells the master; without die-on-term SIGTERM is uWSGI 2.0's brutal reload."""
    if number == signal.SIGTERM and not die_on_term:
        return Command.BRUTAL_RELOAD
    return BY_SIGNAL.get(number)
