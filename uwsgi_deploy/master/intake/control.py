"""The control socket, which `uwsgi-deploy status` and its kin talk to. A Unix socket of mode 600, a JSON object a line.

    > {"command": "workers-reload", "arguments": []}
    < {"ok": true, "message": "...", "final": true, "data": null}

Commands are the values of `commands.Command` with dashes; each is answered, and a line that is none, too. Nothing here
makes the master wait: what a client does not read is kept, up to a limit, and a client that breaks the rules is told so
and cut off.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from uwsgi_deploy.errors import BindError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.observe import Observer
from uwsgi_deploy.process import runtime_dir

ORIGIN = "control socket"
MODE = 0o600
BACKLOG = 16
MOST_CLIENTS = 32
LONGEST_LINE = 8192
MOST_UNREAD = 8 << 20  # an answer with ten thousand requests, or with the stacks of many threads

BY_WORD: Mapping[str, Command] = {command.value.replace(" ", "-"): command for command in Command}
# Asking changes nothing and is not logged.
QUESTIONS = frozenset({Command.STATUS, Command.RELOAD_STATUS, Command.INFLIGHT})


def open_control(wanted: str, environ: Mapping[str, str], former: Sequence[ControlSocket] = ()) -> ControlSocket | None:
    """The control socket at `wanted`, or at the default place when that is empty; one of `former` if it is there.

    Raises BindError for a place that was asked for; where a default is writable nowhere, the server goes without.
    """
    directory = runtime_dir.choose(environ)
    default = os.path.join(directory, f"{os.getpid()}{runtime_dir.SUFFIX}") if directory else ""
    if directory:
        runtime_dir.sweep(directory)
    place = os.path.abspath(wanted) if wanted else default
    for control in former:
        if control.path == place and control.is_present:
            return control
    if former and default and os.path.islink(default):
        os.unlink(default)  # the former image's signpost
    if wanted:
        return ControlSocket(os.path.abspath(wanted), signpost=default)
    try:
        if default:
            return ControlSocket(default)
    except BindError as error:
        log(f"no control socket: {error}")
        return None
    log("no control socket: no private directory is writable; this server listens to signals and to its FIFO")
    return None


Row: TypeAlias = tuple[str, int, int, str]
"""The path, the listening descriptor, the inode of the path, the signpost."""


class ControlSocket:
    """Listens at `path`; `signpost` is a link to it at the place where tools look first, empty for none.

    former: what a former image of this process has open: it goes on with that.
    """

    def __init__(self, path: str, *, signpost: str = "", former: Row | None = None) -> None:
        self.path = path
        self.adopted = former is not None
        if former is None:
            self._listener = _listen(path)
            self._inode = os.lstat(path).st_ino
        else:
            _, descriptor, self._inode, signpost = former
            self._listener = socket.socket(fileno=descriptor)
        self._signpost = signpost if signpost and _link(path, signpost) else ""
        self._clients: set[Client] = set()
        self._observer: Observer | None = None

    def to_row(self) -> Row:
        """See `Row`."""
        return self.path, self._listener.fileno(), self._inode, self._signpost

    @property
    def is_present(self) -> bool:
        """Whether the socket is still at its place."""
        try:
            return os.lstat(self.path).st_ino == self._inode
        except OSError:
            return False

    def attach(self, observer: Observer) -> None:
        """See `observe.Intake`."""
        self._observer = observer
        observer.watch(self._listener.fileno(), self.accept)

    def accept(self) -> Iterator[Request]:
        """Take new clients; none of them has said anything yet."""
        assert self._observer is not None
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:  # nobody (more) waits, or no descriptor is left for them
                return
            if len(self._clients) >= MOST_CLIENTS:
                end.close()
                continue
            client = Client(end, self._observer, self._clients.discard)
            self._clients.add(client)
            yield from ()

    def remove(self) -> Iterator[str]:
        """Unlink the socket if it still is ours; nothing for the log, it is not the user's file."""
        try:
            if os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
            if self._signpost and os.readlink(self._signpost) == self.path:
                os.unlink(self._signpost)
        except OSError:
            return
        yield from ()

    def close(self) -> None:
        """Close everything; the socket goes with the server, whether or not it vacuums."""
        list(self.remove())
        if self._observer is not None and self._listener.fileno() >= 0:
            self._observer.unwatch(self._listener.fileno())
        for client in tuple(self._clients):
            client.close()
        self._listener.close()


class Client:
    """One connection: bytes in, requests out, replies back."""

    def __init__(self, end: socket.socket, observer: Observer, forget: Callable[[Client], None]) -> None:
        end.setblocking(False)
        self._end, self._observer, self._forget = end, observer, forget
        self._inbox = b""
        self._outbox = b""
        self._closing = False
        pid, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self._who = f"pid {pid}, uid {uid}"
        observer.watch(end.fileno(), self.read)

    def read(self) -> Iterator[Request]:
        """Send what waits, and take what has come."""
        self._flush()
        try:
            data = self._end.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            request = self._request(line)
            if request is not None:
                yield request
        if len(self._inbox) > LONGEST_LINE:
            self._closing = True
            self.answer(Reply(ok=False, message=f"a request is longer than {LONGEST_LINE} bytes"))

    def answer(self, reply: Reply) -> None:
        """Send a reply; a client that has left misses it."""
        import json  # most masters are never asked anything: half a megabyte that only the others have

        if self._end.fileno() < 0:
            return
        fields = {"ok": reply.ok, "message": reply.message, "final": reply.final, "data": reply.data}
        self._outbox += json.dumps(fields).encode("ascii") + b"\n"
        self._flush()

    def close(self) -> None:
        """Forget the client."""
        if self._end.fileno() >= 0:
            self._observer.unwatch(self._end.fileno())
            self._end.close()
            self._forget(self)

    def _request(self, line: bytes) -> Request | None:
        """The request of a line; None, and an answer, when it is none."""
        import json  # see `answer`

        if not line.strip():
            return None
        try:
            fields = json.loads(line)
            word, arguments = fields["command"], tuple(str(argument) for argument in fields.get("arguments", ()))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.answer(Reply(ok=False, message='a request is one line with a JSON object: {"command": "status"}'))
            return None
        command = BY_WORD.get(word) if isinstance(word, str) else None
        if command is None:
            self.answer(Reply(ok=False, message=f"nobody knows the command {word!r}"))
            return None
        if command not in QUESTIONS:
            log(f"{ORIGIN}: {' '.join((command.value, *arguments))} ({self._who})")
        return Request(command, ORIGIN, arguments, self.answer)

    def _flush(self) -> None:
        try:
            while self._outbox:
                self._outbox = self._outbox[self._end.send(self._outbox) :]
        except BlockingIOError:
            if len(self._outbox) <= MOST_UNREAD:
                self._observer.watch(self._end.fileno(), self.read, events=select.POLLIN | select.POLLOUT)
                return
        except OSError:
            pass
        else:
            if not self._closing:
                self._observer.watch(self._end.fileno(), self.read)
                return
        self.close()


def _listen(path: str) -> socket.socket:
    """A listening socket; one that a killed server left is replaced, nothing else is."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o777 & ~MODE)
    try:
        if os.path.lexists(path) and runtime_dir.is_abandoned(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(path, f"the control socket cannot be made: {error.strerror or error}") from None
    finally:
        os.umask(former)
    listener.setblocking(False)
    return listener


def _link(path: str, signpost: str) -> bool:
    try:
        if os.path.lexists(signpost):
            os.unlink(signpost)
        os.symlink(path, signpost)
    except OSError:
        return False
    return True
