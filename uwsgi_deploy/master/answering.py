"""Answer a client in the place of a worker that cannot, on a copy of the connection's descriptor.

The kernel gives it to a process that may trace the worker (pidfd_getfd(2)): the master of the same user may, unless a
sandbox (seccomp, Yama) forbids it. Nothing here waits for a client. Loaded when it is first needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
from collections.abc import Sequence
from importlib import import_module
from struct import Struct
from time import time

from uwsgi_deploy.net.listener import Listener, bound_name
from uwsgi_deploy.protocol.responses import DateLine, reason_phrase
from uwsgi_deploy.types import Protocol

# The same on all architectures since Linux 5.6.
_SYS_PIDFD_GETFD = 438
_LINGER_ZERO = Struct("ii").pack(1, 0)
_UNSPECIFIED = Struct("h14x").pack(socket.AF_UNSPEC)  # a struct sockaddr
# Input that the worker did not read any more: closing on it would reset the connection, and the answer with it.
_MOST_DRAINED = 1 << 20
_BLOCK = 65536

_date = DateLine()


def borrow(process: int, descriptor: int) -> socket.socket:
    """A copy of a descriptor of the process behind a pidfd. OSError: it has none of that number, which is a socket, or
    the kernel says no (EPERM, ENOSYS)."""
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(ctypes.c_long(_SYS_PIDFD_GETFD), process, descriptor, 0)
    if copy < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def response(status: int, text: str, *, method: str, retry_after: int = 0) -> bytes:
    """A whole response that ends the connection. retry_after: seconds after which to ask again; 0 says nothing."""
    body = f"{text}\n".encode()
    lines = [
        b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status).encode("ascii")),
        _date.at(time()),
        b"Content-Type: text/plain; charset=utf-8\r\n",
        b"Content-Length: %d\r\n" % len(body),
        *([b"Retry-After: %d\r\n" % retry_after] if retry_after else []),
        b"Connection: close\r\n\r\n",
        *([] if method == "HEAD" else [body]),
    ]
    return b"".join(lines)


# Protocols in which a response is not what HTTP has, to who translates it.
_TRANSLATORS = {
    Protocol.SCGI: ("uwsgi_deploy.protocol.cgi", "as_cgi"),
    Protocol.FASTCGI: ("uwsgi_deploy.protocol.fastcgi", "whole_response"),
    Protocol.FASTCGI_NPH: ("uwsgi_deploy.protocol.fastcgi", "whole_nph_response"),
}


def translate(data: bytes, connection: socket.socket, listeners: Sequence[Listener]) -> bytes | None:
    """A whole response as the client of one of these listeners expects it. The connection tells which one that is.

    None for a client that nobody but the worker can speak with: the keys of a TLS session are there.
    """
    if not any(listener.protocol in _TRANSLATORS or listener.tls is not None for listener in listeners):
        return data
    name = bound_name(connection)
    port = "" if connection.family == socket.AF_UNIX else name.rpartition(":")[2]
    same_port = [one for one in listeners if port and not one.is_unix and one.server_port == port]
    listener = next((one for one in listeners if one.name == name), same_port[0] if same_port else None)
    if listener is not None and listener.tls is not None:
        return None
    if listener is None or listener.protocol not in _TRANSLATORS:
        return data
    module, function = _TRANSLATORS[listener.protocol]
    return bytes(getattr(import_module(module), function)(data))


def answer(connection: socket.socket, data: bytes) -> bool:
    """Send a response, as far as the kernel takes it at once, and end the connection's output; whether all was sent."""
    try:
        sent = connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return False  # the client has left, or takes nothing
    drained = 0
    with contextlib.suppress(OSError):
        while drained < _MOST_DRAINED and (block := connection.recv(_BLOCK, socket.MSG_DONTWAIT)):
            drained += len(block)
    return sent == len(data)


def cut(connection: socket.socket) -> None:
    """Reset the connection: a response that has begun must not look whole to a client that waits for its end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)  # in case that what follows fails
    libc = ctypes.CDLL(None)
    # connect(2): this "dissolves" a TCP connection.
    if libc.connect(connection.fileno(), _UNSPECIFIED, len(_UNSPECIFIED)) != 0:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def await_end(process: int, timeout: float) -> bool:
    """Wait until the process behind a pidfd has ended; False after `timeout` seconds."""
    poller = select.poll()
    poller.register(process, select.POLLIN)
    return bool(poller.poll(timeout * 1000))
