"""Forking: a child that has no way back into its parent's code, and one that its grandparent adopts.

Every child runs `body` and then `os._exit`: it never returns up the stack it was born with, where its parent's cleanup
waits. The operating system's functions are bound here at import, before an application can replace them (gevent).
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from os import _exit, close, fork, getppid, pipe2, waitpid

from uwsgi_deploy.process import signals

sleep = time.sleep

CRASHED = 1
REPARENTING_POLL = 0.0005


def fork_child(body: Callable[[], int], *, reset: Iterable[int] = signals.HANDLED) -> int:
    """Fork a child that gives signals in `reset` their defaults, runs `body` and exits with its result. The pid."""
    flush_stdio()
    with signals.blocked():
        pid = fork()
        if pid == 0:
            _run(body, reset)
    return pid


def fork_adopted(body: Callable[[], int], *, reset: Iterable[int] = signals.HANDLED) -> int:
    """Fork a grandchild whose parent is, when `body` runs, whoever adopts orphans here. Returns the grandchild's pid.

    The child in between forks and exits at once; `os.fork` is used for both so that every registered fork hook leaves
    locks in a sane state. The grandchild says itself that it lives, so that no death in between can hide it.
    """
    flush_stdio()
    reader, writer = pipe2(os.O_CLOEXEC)
    try:
        with signals.blocked():
            middle = fork()
            if middle == 0:
                _fork_and_report(body, writer, reset)
        close(writer)
        writer = -1
        _reap(middle)
        answer = os.read(reader, 32)
    finally:
        close(reader)
        if writer >= 0:
            close(writer)
    if not answer:  # killed, or a fork hook of the application ends every child
        raise OSError(errno.ECHILD, "the new process ended before it began")
    if not answer.isdigit():
        raise OSError(int(answer[1:] or b"0"), f"fork: {os.strerror(int(answer[1:] or b'0'))}")
    return int(answer)


def _fork_and_report(body: Callable[[], int], writer: int, reset: Iterable[int]) -> None:
    """The life of the child in between."""
    try:
        middle = os.getpid()
        try:
            pid = fork()
        except OSError as error:
            os.write(writer, f"-{error.errno or 0}".encode("ascii"))
            _exit(CRASHED)
        if pid == 0:
            os.write(writer, str(os.getpid()).encode("ascii"))
            close(writer)
            _run(lambda: _adopted(body, middle), reset)
    finally:
        _exit(0)


def _adopted(body: Callable[[], int], middle: int) -> int:
    # The child in between is exiting already; a death signal that is asked for before it has gone would fire now.
    while getppid() == middle:
        sleep(REPARENTING_POLL)
    return body()


def _run(body: Callable[[], int], reset: Iterable[int]) -> None:
    code = CRASHED
    try:
        signals.restore_defaults(reset)
        code = body()
    except BaseException:
        traceback.print_exc()
    finally:
        flush_stdio()
        _exit(code)


def _reap(pid: int) -> None:
    try:
        waitpid(pid, 0)
    except ChildProcessError:
        pass  # the application ignores SIGCHLD, so the kernel reaped it


def flush_stdio() -> None:
    """Write out what is buffered, so that a child does not write it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # closed, or its reader is gone: nothing is left to write
