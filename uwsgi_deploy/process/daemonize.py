"""Becoming a daemon: out of the session of the terminal that started us, at once or when the server serves.

`detach` is uWSGI's `daemonize`: the command returns at once, and what goes wrong later is in the log only.
`detach_when_ready` is its `daemonize2`, and better: the first process stays on the terminal, shows what the log says,
and ends with the server's own verdict, so that `&&`, scripts and systemd's Type=forking learn the truth.
The umask and the working directory stay as they are.
"""

from __future__ import annotations

import os
import select
import signal
from typing import NoReturn

from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.fork import flush_stdio

# How often the first process looks for new lines, in milliseconds.
LOOK_AGAIN = 100
PIECE = 65536


class Foreground:
    """The process that waits on the terminal, as the daemon sees it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def descriptors(self) -> tuple[int, ...]:
        """For children to close: while one holds it, the first process waits."""
        return () if self._descriptor is None else (self._descriptor,)

    def succeed(self) -> None:
        """The server serves: let the first process end with 0."""
        self.tell(ExitCode.OK)
        self.close()

    def tell(self, code: int) -> None:
        """The exit code that the first process is to have, when this one ends or calls `close`."""
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, b"%d\n" % code)
            except BrokenPipeError:
                return  # it was killed; nobody wants to know

    def close(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def detach() -> None:
    """Go on in a process of a session of its own; the caller's ends with 0. OSError when no fork is possible."""
    if _fork_daemon():
        os._exit(ExitCode.OK)


def detach_when_ready(log: str, *, terminal: int) -> Foreground:
    """As `detach`, but the caller's process waits for the verdict. OSError when no fork is possible.

    log: the file that standard error goes to by now; what is added to it is shown on the descriptor `terminal`.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    begin = os.fstat(2).st_size
    if _fork_daemon():
        os.close(writer)
        _wait(reader, _Echo(log, begin, terminal))
    os.close(reader)
    os.close(terminal)
    os.write(writer, b"%d\n" % os.getpid())
    return Foreground(writer)


def _fork_daemon() -> bool:
    """True in the first process, when the one in between has gone; False in the daemon, which leads no session and so
    can never get a terminal again."""
    flush_stdio()
    middle = os.fork()
    if middle:
        _, status = os.waitpid(middle, 0)
        if status:
            raise OSError(os.waitstatus_to_exitcode(status), "cannot fork a daemon")
        return True
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
    except OSError as error:
        os._exit(error.errno or 1)
    return False


class _Echo:
    """Copies what is appended to a log file."""

    def __init__(self, path: str, begin: int, terminal: int) -> None:
        self._terminal = terminal
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            os.lseek(self._file, begin, os.SEEK_SET)
        except OSError:
            self._file = -1  # not readable, or no file: the verdict has to do

    def copy(self) -> None:
        """Show what is new."""
        while self._file >= 0:
            try:
                data = os.read(self._file, PIECE)
                if not data:
                    return
                os.write(self._terminal, data)
            except OSError:
                self._file = -1  # the terminal is gone


def _wait(reader: int, echo: _Echo) -> NoReturn:
    """The rest of the first process's life. Ctrl-C ends the server, too, while it starts."""
    said = b""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while True:
        try:
            ready = poll.poll(LOOK_AGAIN)
            data = os.read(reader, PIECE) if ready else None
            echo.copy()
            if data == b"":
                break
            said += data or b""
        except KeyboardInterrupt:
            pid, _, _ = said.partition(b"\n")
            if pid:
                os.kill(int(pid), signal.SIGTERM)
    _pid, *codes = said.split()
    # Without a word it was killed.
    os._exit(int(codes[-1]) if codes else ExitCode.FAILED)
