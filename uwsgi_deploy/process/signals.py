"""Signals without policy: their names, masks around a fork, defaults in a child, and a descriptor that wakes a poll.

Python runs signal handlers between bytecodes only; the C part writes the signal's number to a descriptor at once, and
`Wakeup` is that descriptor with its ends kept together.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

# What a server or an application may have handlers for; a child starts without any of them.
HANDLED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGWINCH,
    signal.SIGURG,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)

# Has a worker look whether the request in its main thread is overdue (`worker.deadlines`). A real-time signal, which
# applications hardly ever use; the next one after the two of `shared.stack_dump`.
INTERRUPT = int(signal.SIGRTMIN) + 10

# What tells a server to end or reload: a worker has its own handlers for these.
LIFE = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def name(number: int) -> str:
    """`SIGTERM` for 15; real-time signals have no name and are given as `signal 40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def heed(numbers: Iterable[int]) -> None:
    """Take signals without doing anything about them, so that they end no process and are seen by a `Wakeup`.

    A handler and not SIG_IGN: ignored signals would stay ignored in programs that the application starts.
    """
    for number in numbers:
        signal.signal(number, _do_nothing)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """The handler of `heed`."""


def restore_defaults(numbers: Iterable[int] = HANDLED) -> None:
    """Default actions for `numbers`, nothing blocked, no wake-up descriptor: how a new process starts."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def hold_as_first_process() -> None:
    """As PID 1, keep signals that end or reload a server until it takes them (`release`).

    The kernel drops signals that PID 1 has no handler for, so a container that is stopped while its server starts would
    be killed ten seconds later. What is blocked is kept, over an exec, too.
    """
    if os.getpid() == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, LIFE)


def release() -> None:
    """Let signals of `LIFE` in, whoever blocked them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LIFE)


@contextmanager
def blocked() -> Iterator[None]:
    """Hold all signals back: a child forked inside restores defaults before any can reach its parent's handlers."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextmanager
def handlers_restored(*, is_last: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """On leaving, all of `HANDLED` have the handlers they had; for callers that go on after serving.

    is_last: whether the process ends then. Signals of `LIFE` that come late (platforms send them to every process, and
    twice) are ignored, so that they cannot turn an orderly end into a death by signal.
    """
    former = {number: signal.getsignal(number) for number in HANDLED}
    try:
        yield
    finally:
        if is_last():
            former.update(dict.fromkeys(LIFE, signal.SIG_IGN))
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Wakeup:
    """A descriptor that becomes readable when a handled signal arrives, and tells which ones did."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._read

    def drain(self) -> tuple[int, ...]:
        """Numbers of the signals that arrived since the last call, in order."""
        try:
            return tuple(os.read(self._read, 4096))
        except BlockingIOError:
            return ()

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both ends, for a child to close."""
        return self._read, self._write

    def close(self) -> None:
        """Stop writing to the descriptors and close them."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)
