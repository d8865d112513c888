"""A Unix socket without a name: nobody finds it but processes that inherited a descriptor of it.

It is bound in a directory of its own that only this user can enter, and its name is removed at once. Who is to connect
holds an O_PATH descriptor of the file that was: `connect` takes `/proc/self/fd/N` for it (proc(5), path_resolution(7)).
So nothing is left behind whatever happens, the socket outlives the process's re-execution as any descriptor does, and
another user of the machine can neither connect to it nor take its place. Where no directory can be written the socket
gets a random abstract name, which others could look up: the caller warns.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from select import POLLRDHUP, poll  # bound before gevent replaces it: the master has loaded this module

from uwsgi_deploy.errors import BindError

DESCRIPTORS = "/proc/self/fd"
PLACES = ("/dev/shm", "/tmp", "/var/tmp", ".")


@dataclass(frozen=True, slots=True)
class PrivateSocket:
    """A bound socket, not listening yet. address: how the holder of descriptor `way` reaches it; way: -1 if its name is
    enough, and it `is_open` to strangers."""

    socket: socket.socket
    address: str
    way: int

    @property
    def is_open(self) -> bool:
        """Whether other users could find it."""
        return self.way < 0


def open_private_socket(environ: Mapping[str, str]) -> PrivateSocket:
    """Make one. BindError when the kernel has no sockets to give."""
    if os.path.isdir(DESCRIPTORS):  # a jail may have no /proc
        for place in _places(environ):
            try:
                return _unnamed(place)
            except OSError:
                continue  # not there, not writable, full, or a file system without sockets
    name = f"uwsgi-deploy-{secrets.token_hex(16)}"
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(f"\0{name}")
    except OSError as error:
        bound.close()
        raise BindError(f"@{name}", error.strerror or str(error)) from None
    return PrivateSocket(bound, f"@{name}", -1)


def is_shut(door: socket.socket) -> bool:
    """Whether the listening Unix socket was closed, or shut by any process: nobody can connect any more."""
    if door.fileno() < 0:
        return True
    poller = poll()
    poller.register(door, POLLRDHUP)
    return bool(poller.poll(0))


def _places(environ: Mapping[str, str]) -> Iterable[str]:
    return (place for place in (environ.get("XDG_RUNTIME_DIR"), environ.get("TMPDIR"), *PLACES) if place)


def _unnamed(place: str) -> PrivateSocket:
    directory = os.path.join(place, f".uwsgi-deploy-{secrets.token_hex(8)}")
    os.mkdir(directory, 0o700)
    path = os.path.join(directory, "s")
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        # Nobody but its heirs gets this far, and they may run as another user (http-uid).
        os.chmod(path, 0o666)
        way = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        bound.close()
        raise
    finally:
        _remove(path, directory)
    return PrivateSocket(bound, f"{DESCRIPTORS}/{way}", way)


def _remove(path: str, directory: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.rmdir(directory)
