"""Stacks from outside: of a process that holds its interpreter, of several at once, of one that is not prepared."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support.waiting import wait_until
from uwsgi_deploy.shared.stack_dump import DUMP_SIGNAL, StackChannel


@pytest.fixture
def channel() -> Iterator[StackChannel]:
    channel = StackChannel()
    yield channel
    channel.close()


# What runs in a process of its own. It calls what it is given when its stack is as it stays.
Body = Callable[[Callable[[], object]], object]
Start = Callable[[Body], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a function in a process of its own until it says that it is in place; all are killed in the end."""
    pids = []

    def start(body: Body) -> int:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                body(lambda: os.write(writer, b"!"))
            finally:
                os._exit(1)
        pids.append(pid)
        os.close(writer)
        assert os.read(reader, 1) == b"!"
        os.close(reader)
        return pid

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hang_in_c(in_place: Callable[[], object]) -> None:
    """C code that gives the interpreter to nobody."""
    in_place()
    re.match(r"(a+)+$", "a" * 60 + "b")


def sleep(in_place: Callable[[], object]) -> None:
    """C code that gives the interpreter to others."""
    in_place()
    time.sleep(100)


def whole(channel: StackChannel, pid: int) -> bool:
    channel.read()
    return channel.is_whole(pid)


def test_process_that_holds_the_interpreter(channel: StackChannel, start: Start) -> None:
    """The innermost function is there, and so is the outermost: the dump is whole."""
    channel.register()
    pid = start(hang_in_c)
    assert not channel.is_whole(pid)
    assert channel.ask(pid)
    wait_until(lambda: whole(channel, pid), 20)
    stacks = channel.take(pid)
    assert "in hang_in_c" in stacks
    assert "in start" in stacks.partition("in hang_in_c")[2]
    assert channel.take(pid) == ""
    assert channel.ask(pid)  # and once more
    wait_until(lambda: whole(channel, pid), 20)
    assert "in hang_in_c" in channel.take(pid)


def test_two_at_once_are_kept_apart(channel: StackChannel, start: Start) -> None:
    """Both write to one socket at the same time; each gets its own stack."""

    def deep(body: Body, depth: int, in_place: Callable[[], object]) -> object:
        return deep(body, depth - 1, in_place) if depth else body(in_place)

    channel.register()
    pids = [start(partial(deep, body, 80)) for body in (hang_in_c, sleep)]
    for pid in pids:
        channel.ask(pid)
    for pid in pids:
        wait_until(lambda pid=pid: whole(channel, pid), 20)  # type: ignore[misc]
    first, second = (channel.take(pid) for pid in pids)
    assert ("hang_in_c" in first, "hang_in_c" in second) == (True, False)
    assert first.count("in deep\n") == second.count("in deep\n") == 81


def test_unprepared_process_is_not_asked(channel: StackChannel, start: Start) -> None:
    """The signal would kill it."""

    def unprepared(in_place: Callable[[], object]) -> None:
        signal.signal(DUMP_SIGNAL, signal.SIG_DFL)
        sleep(in_place)

    pid = start(unprepared)
    assert not channel.ask(pid)
    os.kill(pid, 0)


def test_what_nobody_asked_for_is_dropped(channel: StackChannel, start: Start) -> None:
    """A signal from elsewhere fills no memory."""
    channel.register()
    pid = start(sleep)
    os.kill(pid, DUMP_SIGNAL)
    wait_until(lambda: select.select([channel], [], [], 0)[0], 20)
    channel.read()
    assert channel.take(pid) == ""
