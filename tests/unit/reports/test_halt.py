"""Calls that are ended from another thread."""

from __future__ import annotations

from uwsgi_deploy import Call


def call(stop: object = None) -> Call:
    return Call("database", "default", "SELECT 1", 1.0, stop=stop)  # type: ignore[arg-type]


def test_a_call_is_halted_once() -> None:
    done: list[bool] = []
    running = call(lambda: done.append(running.halting))
    running.halt()
    running.halt()
    assert done == [True]
    assert (running.halted, running.halting) == (True, False)


def test_a_call_that_has_ended_is_left_alone() -> None:
    """Who made it sees that it was to be halted, and the connection may have a new one already."""
    done: list[bool] = []
    ended = call(lambda: done.append(True))
    ended.ended = 2.0
    ended.halt()
    assert done == []
    assert ended.halting is False


def test_a_call_that_cannot_be_halted() -> None:
    """Neither without a function nor with one that fails is there an error."""
    call().halt()
    failing = call(lambda: 1 / 0)
    failing.halt()
    assert (failing.halted, failing.halting) == (True, False)
