"""Find a running server and talk to it over its control socket. Prints nothing; every failure is a `NoServer`.

A number in a pid file is believed only with proof: the file is locked by a living server, or the process that answers
on the control socket has that number. So nobody else's process is ever sent a signal.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.control import OFF
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.master.commands import Command
from uwsgi_deploy.process import runtime_dir
from uwsgi_deploy.reports.place import place_of

# A master is busy for moments only: it forks, and executes itself anew.
ANSWER_TIMEOUT = 20.0
LONGEST_PID = 32

# What a signal can say to a server without a control socket. SIGINT: SIGTERM's meaning depends on die-on-term.
BY_COMMAND: Mapping[Command, signal.Signals] = {
    Command.STOP: signal.SIGINT,
    Command.STOP_NOW: signal.SIGQUIT,
    Command.RELOAD: signal.SIGHUP,
    # As uWSGI's --pause and --resume, which both send the signal that does the one or the other.
    Command.PAUSE: signal.SIGTSTP,
    Command.RESUME: signal.SIGTSTP,
}

# Exit codes of `status`, from the Linux Standard Base.
DEAD_WITH_PIDFILE = 1
NOT_RUNNING = 3
UNKNOWN = 4


class NoServer(ServerError):
    """There is no server to talk to.

    status: exit code of the verb status. is_gone: it is certain that none runs.
    """

    def __init__(self, status: int, message: str, *, foreign: bool = False) -> None:
        self.status = status
        # A pid names a living process that is no server of ours: nothing is done, but that is no success.
        self.is_gone = status in (DEAD_WITH_PIDFILE, NOT_RUNNING) and not foreign
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. What is empty is not looked at; when nothing leads to a server it is the one of `directory`.

    certain: that directory is a project's and not just where somebody happens to be. reports: where that server keeps
    its reports of late requests, as far as is known.
    """

    control_socket: str = ""
    pidfiles: tuple[str, ...] = ()
    pid: int = 0
    directory: str = ""
    certain: bool = True
    reports: str = ""

    def anywhere(self) -> Place:
        """This place for somebody who has named nothing."""
        return dataclasses.replace(self, certain=False)


def place_in(settings: Settings) -> Place:
    """Where the server is that was started in the present directory with these settings."""
    identity, control = settings.identity, settings.control.control_socket
    start = os.getcwd()
    directory = os.path.join(start, settings.application.chdir)
    written_later = (identity.pidfile2, identity.safe_pidfile, identity.safe_pidfile2)
    pidfiles = [os.path.join(directory, path) for path in written_later if path]
    reports = place_of(settings, os.environ)
    if identity.pidfile:
        pidfiles.insert(0, os.path.join(start, identity.pidfile))
    return Place(
        control_socket=os.path.join(directory, control) if control and control != OFF else "",
        pidfiles=tuple(pidfiles),
        directory=directory,
        reports="" if reports is None else os.path.join(directory, reports.directory),
    )


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `control` is the path of its control socket, empty when it has none that we can reach."""

    pid: int
    control: str

    def ask(self, command: Command, *arguments: str, timeout: float = ANSWER_TIMEOUT) -> dict[str, Any]:
        """The last reply, as `commands.Reply`. Raises NoServer."""
        if not self.control:
            return self._signal(command)
        with _connect(self.control) as end:
            end.settimeout(timeout)
            request = {"command": command.value.replace(" ", "-"), "arguments": arguments}
            try:
                end.sendall(json.dumps(request).encode("ascii") + b"\n")
                with end.makefile("rb") as answers:
                    for line in answers:
                        reply: dict[str, Any] = json.loads(line)
                        if reply["final"]:
                            return reply
            except TimeoutError:
                raise NoServer(UNKNOWN, f"the server (pid {self.pid}) does not answer") from None
            except (OSError, ValueError, KeyError) as error:
                raise NoServer(UNKNOWN, f"the server (pid {self.pid}) broke off: {error}") from None
        raise NoServer(UNKNOWN, f"the server (pid {self.pid}) closed the connection without an answer")

    def _signal(self, command: Command) -> dict[str, Any]:
        number = BY_COMMAND.get(command)
        if number is None:
            raise NoServer(UNKNOWN, f"the server (pid {self.pid}) has no control socket that can be reached")
        try:
            os.kill(self.pid, number)
        except OSError as error:
            raise NoServer(UNKNOWN, f"cannot send {number.name} to process {self.pid}: {error.strerror}") from None
        return {"ok": True, "message": f"{number.name} sent to process {self.pid}", "final": True, "data": None}


class Watch:
    """Notices the end of a process. Made before it is told to end, so that its number cannot be another's by then."""

    def __init__(self, pid: int) -> None:
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:  # it has ended already
            self._descriptor = -1

    def ended(self, timeout: float) -> bool:
        """Whether it ended within so many seconds."""
        if self._descriptor < 0:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def find(place: Place, environ: Mapping[str, str], *, guess: bool = False) -> Server:
    """The server that `place` means. Raises NoServer.

    guess: where nothing is certain, take the only server that runs. Good enough to look at, not to stop.
    """
    if place.control_socket:
        with _connect(place.control_socket) as end:
            return Server(_peer(end), place.control_socket)
    if place.pid:
        return _by_pid(place.pid, environ)
    if place.pidfiles:
        return _by_pidfiles(place.pidfiles, environ)
    return _without_hint(place.directory, environ, guess=guess and not place.certain)


# --- by pid -----------------------------------------------------------------------------------------------------------


def _by_pid(pid: int, environ: Mapping[str, str]) -> Server:
    control = _control_of(pid, environ)
    if control:
        return Server(pid, control)
    if os.path.exists(f"/proc/{pid}"):
        raise NoServer(UNKNOWN, f"process {pid} is no server with a control socket that can be reached")
    raise NoServer(NOT_RUNNING, f"not running: there is no process {pid}")


def _by_pidfiles(paths: tuple[str, ...], environ: Mapping[str, str]) -> Server:
    """The server of the first file that leads to one."""
    failure: NoServer | None = None
    for path in paths:
        try:
            return _by_pidfile(path, environ)
        except NoServer as error:
            failure = failure if failure is not None and failure.status <= error.status else error
    assert failure is not None
    raise failure


def _by_pidfile(path: str, environ: Mapping[str, str]) -> Server:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NoServer(NOT_RUNNING, f"not running: there is no pid file {path}") from None
    except OSError as error:
        raise NoServer(UNKNOWN, f"cannot read the pid file {path}: {error.strerror}") from None
    try:
        text = os.read(descriptor, LONGEST_PID).strip()
        locked = _is_locked(descriptor)
    except OSError as error:
        raise NoServer(UNKNOWN, f"cannot read the pid file {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if not text.isdigit() or int(text) == 0:
        raise NoServer(UNKNOWN, f"{path} is no pid file")
    pid = int(text)
    control = _control_of(pid, environ)
    if control or locked:
        return Server(pid, control)
    if os.path.exists(f"/proc/{pid}"):
        raise NoServer(
            DEAD_WITH_PIDFILE,
            f"not running: the pid file {path} is left over; process {pid} is another program by now ({_command(pid)})",
            foreign=True,
        )
    raise NoServer(
        DEAD_WITH_PIDFILE, f"not running: the pid file {path} is left over from process {pid}, which has ended"
    )


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _control_of(pid: int, environ: Mapping[str, str]) -> str:
    """The control socket on which process `pid` answers, empty when there is none."""
    for directory in runtime_dir.all_places(environ, os.geteuid()):
        path = os.path.join(directory, f"{pid}{runtime_dir.SUFFIX}")
        try:
            with _connect(path) as end:
                if _peer(end) == pid:
                    return path
        except NoServer:
            continue
    return ""


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(200).replace(b"\0", b" ").decode("utf-8", "replace").strip() or "no command line"
    except OSError:
        return "unknown"


# --- without any hint -------------------------------------------------------------------------------------------------


def _without_hint(directory: str, environ: Mapping[str, str], *, guess: bool) -> Server:
    servers = list({server.pid: server for server in running(environ)}.values())
    if not servers:
        raise NoServer(
            NOT_RUNNING, "not running: no server answers (name one with --pidfile, --control-socket or --pid)"
        )
    here = [server for server in servers if directory and working_directory(server.pid) == os.path.realpath(directory)]
    candidates = here or (servers if guess else [])
    if len(candidates) == 1:
        return candidates[0]
    known = ", ".join(f"{server.pid} in {working_directory(server.pid) or '?'}" for server in candidates or servers)
    what = "several servers run" if candidates else "no server works in this directory, but others run"
    raise NoServer(UNKNOWN, f"{what} (pid {known}); say which with --pid, --pidfile or --control-socket")


def running(environ: Mapping[str, str]) -> Iterator[Server]:
    """Every server whose control socket is where tools look first."""
    for directory in runtime_dir.all_places(environ, os.geteuid()):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        for name in names:
            if not name.endswith(runtime_dir.SUFFIX):
                continue
            path = os.path.join(directory, name)
            try:
                with _connect(path) as end:
                    yield Server(_peer(end), path)
            except NoServer:
                continue


def working_directory(pid: int) -> str:
    """Where a process works, empty when that is not to be known."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


# --- sockets ----------------------------------------------------------------------------------------------------------


def _connect(path: str) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.settimeout(ANSWER_TIMEOUT)
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while True:
        try:
            end.connect(path)
        except BlockingIOError:  # the listen queue is full: the master is busy, or many ask
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            end.close()
            raise NoServer(UNKNOWN, f"the server behind {path} does not answer") from None
        except OSError as error:
            end.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
                raise NoServer(NOT_RUNNING, f"not running: nobody listens on {path}") from None
            raise NoServer(UNKNOWN, f"cannot connect to {path}: {error.strerror or error}") from None
        return end


def _peer(end: socket.socket) -> int:
    """The pid of the process that listens on the other side."""
    pid: int = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid
