"""Which signal means what."""

from __future__ import annotations

import signal

import pytest

from uwsgi_deploy.master.commands import BY_SIGNAL, SAME_STOP, UNUSED_SIGNALS, Command, request_of
from uwsgi_deploy.process.signals import HANDLED

CASES = [
    (signal.SIGTERM, Command.STOP, Command.BRUTAL_RELOAD),
    (signal.SIGINT, Command.STOP, Command.STOP),
    (signal.SIGQUIT, Command.STOP_NOW, Command.STOP_NOW),
    (signal.SIGHUP, Command.RELOAD, Command.RELOAD),
    (signal.SIGUSR1, Command.STATISTICS, Command.STATISTICS),
    (signal.SIGTSTP, Command.TOGGLE_PAUSE, Command.TOGGLE_PAUSE),
    (signal.SIGUSR2, None, None),
    (signal.SIGCHLD, None, None),
]


@pytest.mark.parametrize(("number", "with_option", "without"), CASES)
def test_commands(number: signal.Signals, with_option: Command | None, without: Command | None) -> None:
    """die-on-term changes SIGTERM and nothing else."""
    for die_on_term, expected in ((True, with_option), (False, without)):
        request = request_of(number, die_on_term=die_on_term)
        assert (request and request.command) is expected
        assert request is None or request.origin == number.name


def test_tables_are_total() -> None:
    """Children reset all signals that the master handles; every signal that stops has its time of repetition."""
    assert {*BY_SIGNAL, *UNUSED_SIGNALS, signal.SIGCHLD} <= set(HANDLED)
    assert set(SAME_STOP) >= {
        signal.Signals(number).name for number, command in BY_SIGNAL.items() if command is Command.STOP
    }
