"""Answers a client in the place of a core that does not come back, so that the core can never write to it again."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from time import time

from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.responses import DateLine, prefers_json, timeout_response
from uwsgi_deploy.wsgi.response import CLOSING, Response

_LINGER_ZERO = struct.pack("ii", 1, 0)
_BLOCK = 65536
_MOST_DISCARDED = 1 << 20

_date = DateLine()


@dataclass(slots=True)
class LateAnswer:
    """What the log says of it; see `logs.record.Answer`."""

    status: int
    sent_body: int = 0
    head_size: int = 0
    header_count: int = 0
    via_sendfile: bool = False


@dataclass(slots=True)
class Severed:
    """The client's socket, which is its core's no more, and what was sent on it."""

    client: socket.socket
    answer: LateAnswer


def answer(response: Response, environ: Environ, phase: int) -> Severed:
    """Take the client from the core that runs this request, and answer 504; once something may have been sent, cut.

    phase: how far the core had said that it is (`RequestPhase`).
    """
    connection = response.connection
    client = _sever(connection.fd)
    # Looked at when the core cannot write any more: a response that has begun until now may be on its way.
    if not response.started and phase == 0:
        data = timeout_response(
            _date.at(time()),
            as_json=prefers_json(environ.get("HTTP_ACCEPT", "")),
            is_head=environ["REQUEST_METHOD"] == "HEAD",
        )
        head, _, body = data.partition(b"\r\n\r\n")
        with suppress(OSError):  # the client has left, or takes nothing
            client.send(connection.whole(data), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            client.shutdown(socket.SHUT_WR)
        _discard_input(client)
        return Severed(client, LateAnswer(504, len(body), len(head) + 4, head.count(b"\r\n")))
    sent = LateAnswer(504, response.sent_body, response.head_size, response.header_count, response.via_sendfile)
    if phase == CLOSING and not connection.outbox and connection.held is None:
        sent.status = response.status  # the response is whole: only its end is missing
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
    else:
        with suppress(OSError):  # an orderly end could look like the end of the response
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            if connection.cut_mark and not connection.outbox:  # else it would stand in the middle of something
                client.send(connection.cut_mark, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        client.close()
    return Severed(client, sent)


def _sever(fd: int) -> socket.socket:
    """The socket behind a descriptor, which has a peer that is gone from now on: whoever writes there hears of it."""
    client = socket.socket(fileno=os.dup(fd))
    client.setblocking(False)  # it was; socket.socket() has its own mind about it
    dead, other = socket.socketpair()
    other.close()
    dead.setblocking(False)
    os.dup2(dead.fileno(), fd, inheritable=False)
    dead.close()
    return client


def _discard_input(client: socket.socket) -> None:
    """Closing a socket with unread input would reset the connection, and the answer with it."""
    discarded = 0
    with suppress(OSError):
        while discarded < _MOST_DISCARDED and (block := client.recv(_BLOCK, socket.MSG_DONTWAIT)):
            discarded += len(block)
