"""One client connection: its descriptor, what was read and not yet used, what is still to be sent.

A connection has exactly one owner at any time: the reactor, or the core that runs its request. Only the owner touches
it, but for `readable`, which the reactor may set at any time (see `net.reactor`).
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from os import close  # before gevent replaces it, as the next two
from select import POLLIN, POLLOUT
from socket import SHUT_RD, SHUT_WR, SO_LINGER, SOL_SOCKET, socket
from typing import Any, BinaryIO, TypeAlias

from uwsgi_deploy.errors import Aside, ClientGone, ProtocolError
from uwsgi_deploy.net.body import IncomingBody
from uwsgi_deploy.protocol.framing import BodyDecoder, ChunkedDecoder
from uwsgi_deploy.protocol.messages import CHUNKED, Codec, Environ, Facts, Introduced

# Waits until a descriptor is ready for the events (poll's constants): (fd, events, seconds) -> False after the time.
Wait = Callable[[int, int, float], bool]

# Unsent bytes a streaming application may be ahead of its client before its core waits.
HIGH_WATER = 256 * 1024
_SENDFILE_BLOCK = 1 << 20
# What one connection may send before others get their turn.
_FAIR_SHARE = 4 << 20
_DISCARD_BLOCK = 65536
_MOST_DISCARDED = 16 << 20
IDLE_GRACE = 0.5
_LINGER_ZERO = struct.pack("ii", 1, 0)


class State(Enum):
    """Who owns a connection, and what its owner waits for."""

    HEAD = "the reactor: a request head, or the first byte of the next one"
    BODY = "the reactor: the rest of a request body"
    BUSY = "a core, or the queue to the cores"
    SENDING = "the reactor: the client, to take the rest of a response"
    LINGERING = "the reactor: the client, to stop sending"
    CLOSED = "nobody"


_HEAD = State.HEAD


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts in seconds and sizes in bytes, as `HttpSettings` has them."""

    header_timeout: float
    body_timeout: float
    keepalive_timeout: float
    send_timeout: float
    post_buffering: int
    limit_post: int


class FileSlice:
    """A part of an open file that is sent with sendfile(2). Owns its descriptor."""

    __slots__ = ("fd", "left", "offset")

    def __init__(self, fd: int, offset: int, left: int) -> None:
        self.fd, self.offset, self.left = fd, offset, left

    def __len__(self) -> int:
        return self.left

    def send_to(self, fd: int) -> int:
        """Send what the socket takes at once; how many bytes. Raises BlockingIOError, or OSError with the peer gone."""
        sent = os.sendfile(fd, self.fd, self.offset, min(self.left, _SENDFILE_BLOCK))
        if not sent:
            raise ClientGone("a file became shorter while it was sent")
        self.offset += sent
        self.left -= sent
        return sent

    def close(self) -> None:
        """Close the descriptor, once."""
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1


Piece: TypeAlias = bytes | memoryview | FileSlice
# The outbox of all connections of which the kernel has taken everything at once so far: most need no other.
_NOTHING: Any = ()


class Connection:
    """See the module. `send_timeout` in seconds; `wait` is the loop engine's way to wait for a descriptor.

    deadline: monotonic seconds; while a core owns the connection, when its request was complete. body_since: when the
    body of that request began to come, if it has one.
    """

    __slots__ = (
        "body",
        "body_since",
        "codec",
        "deadline",
        "discarded",
        "environ",
        "eof",
        "facts",
        "fd",
        "held",
        "inbox",
        "incoming",
        "keep_alive",
        "live_length",
        "may_hold",
        "outbox",
        "readable",
        "registered",
        "remote_addr",
        "remote_port",
        "send_timeout",
        "state",
        "wait",
        "writable",
    )

    # Whether its protocol has something to say when a response is over (`net.fastcgi_connection`).
    has_ends = False
    # An application's `Connection: close` goes to the router as it is, which closes its client's connection.
    is_routed = False
    # What tells the web server that a response is cut short, behind what was sent of it, if its protocol has a way.
    cut_mark = b""

    # Whether it says goodbye before it is closed in order (`net.tls`).
    has_farewell = False

    # How it reads: as os.read, where fewer bytes than asked for mean that all is read. The system's own
    # function (it does not bind, a method of other kinds does): one of Python's would cost each request a call.
    read: Callable[[int, int], bytes] = os.read

    def __init__(self, fd: int, codec: Codec, address: Any, send_timeout: float, wait: Wait) -> None:
        self.fd = fd
        self.codec = codec
        # A Unix socket's peer has no address; an IPv4 client of a dual-stack socket is shown as IPv4.
        if type(address) is tuple:
            host = address[0]
            self.remote_addr = host[7:] if host.startswith("::ffff:") else host
            self.remote_port = str(address[1])
        else:
            self.remote_addr = self.remote_port = ""
        self.send_timeout = send_timeout
        self.wait = wait
        self.state = _HEAD
        self.inbox = b""
        self.outbox: deque[Piece] = _NOTHING
        self.deadline = self.body_since = 0.0
        self.readable = False
        self.registered = False
        self.eof = False
        self.environ: Environ | None = None
        self.facts: Facts | None = None
        self.keep_alive = False
        self.incoming: IncomingBody | None = None
        self.body: BinaryIO | None = None
        self.live_length = 0
        self.discarded = 0
        self.writable = True
        # A whole response that the engine sends later, together with others, if it said that it may.
        self.may_hold = False
        self.held: bytes | None = None

    @property
    def idle_grace(self) -> float:
        """How long it is kept for a request that may be on its way when the worker leaves, in seconds."""
        return IDLE_GRACE

    def introduce(self, client: Introduced, data: bytes) -> bytes:
        """From now on this is somebody else's connection; returns what of `data` is left to be read."""
        self.codec, self.inbox = client.codec, b""
        if client.address is not None:
            self.remote_addr, self.remote_port = client.address
        return data[client.consumed :]

    # -- sending, by the owner -----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send what the kernel takes now and keep the rest. Raises ClientGone."""
        if not self.outbox:
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise ClientGone(error.errno, error.strerror) from None
            if sent == len(data):
                return
            self.leave(memoryview(data)[sent:])
        else:
            self.outbox.append(data)

    def send_held(self) -> None:
        """Send the whole response that was held. Raises ClientGone."""
        data, self.held = self.held, None
        if data is not None:
            self.send(data)

    def send_two(self, head: bytes, body: bytes) -> None:
        """Send a head and a large body in one call without copying the body. Raises ClientGone."""
        sent = 0
        if not self.outbox:
            try:
                sent = os.writev(self.fd, (head, body))
            except BlockingIOError:
                pass
            except OSError as error:
                raise ClientGone(error.errno, error.strerror) from None
        if sent < len(head):
            self.leave(memoryview(head)[sent:])
            self.outbox.append(body)
        elif sent < len(head) + len(body):
            self.leave(memoryview(body)[sent - len(head) :])

    def send_file(self, piece: FileSlice) -> None:
        """Send a part of a file, as `send`."""
        self.leave(piece)
        self.send_more()

    def leave(self, piece: Piece) -> None:
        """Keep what the kernel is to take later, behind all that waits already."""
        if self.outbox is _NOTHING:
            self.outbox = deque()
        self.outbox.append(piece)

    def send_more(self) -> bool:
        """Send what is left and the kernel takes, within a fair share; True when nothing is left. Raises ClientGone."""
        outbox = self.outbox
        share = _FAIR_SHARE
        try:
            while outbox and share > 0:
                piece = outbox[0]
                if isinstance(piece, FileSlice):
                    share -= piece.send_to(self.fd)
                    if piece.left:
                        continue
                    piece.close()
                else:
                    sent = os.write(self.fd, piece)
                    share -= sent
                    if sent < len(piece):
                        outbox[0] = memoryview(piece)[sent:]
                        continue
                outbox.popleft()
        except BlockingIOError:
            self.writable = False
            return False
        except ClientGone:
            raise
        except OSError as error:
            raise ClientGone(error.errno, error.strerror) from None
        self.writable = True
        return not outbox

    @property
    def unsent(self) -> int:
        """Bytes of the response that the kernel has not taken."""
        return sum(len(piece) for piece in self.outbox)

    @property
    def in_memory(self) -> int:
        """Those of them that this process keeps in its memory: not what is left of a file."""
        return sum(len(piece) for piece in self.outbox if not isinstance(piece, FileSlice))

    def send_until(self, most: int) -> None:
        """Block the calling core until at most `most` bytes are kept in memory. Raises ClientGone, also after
        send-timeout."""
        while not self.send_more() and self.in_memory > most:
            if not self.writable:
                self.await_room()

    def await_room(self) -> None:
        """Block the calling core until the kernel takes more. Raises ClientGone after send-timeout."""
        if not self.wait(self.fd, POLLOUT, self.send_timeout):
            raise ClientGone(f"the client took no byte for {self.send_timeout:g} s")

    def whole(self, response: bytes) -> bytes:
        """A whole response as it goes over the wire of this connection, for those who write on the descriptor."""
        return response

    def answer_aside(self, aside: Aside) -> bool:
        """Answer what was no request; whether the connection goes on."""
        self.inbox = aside.rest
        try:
            if aside.reply:
                self.send_aside(aside.reply)
        except ClientGone:
            return False
        return aside.goes_on

    def send_aside(self, reply: bytes) -> None:
        """Send what is no response, as it is. Raises ClientGone."""
        Connection.send(self, reply)

    def refuse(self, response: bytes, error: ProtocolError) -> bool:
        """Answer a request that is not served, and is the last one; False when the client is gone."""
        self.keep_alive = False
        if self.incoming is not None:
            self.incoming.discard()
            self.incoming = None
        try:
            self.send(error.answer or response)
        except ClientGone:
            return False
        return True

    def body_decoder(self, length: int) -> BodyDecoder | None:
        """What finds the content of a request body whose length is not known."""
        return ChunkedDecoder() if length == CHUNKED else None

    # -- receiving, by a core (post-buffering = 0) ---------------------------------------------------------------------

    def receive(self, size: int, timeout: float) -> bytes:
        """Block the calling core for at least one byte; b"" at the end of input. Raises TimeoutError or OSError."""
        if self.inbox:
            data, self.inbox = self.inbox[:size], self.inbox[size:]
            return data
        while True:
            try:
                return self.read(self.fd, size)
            except BlockingIOError:
                if not self.wait(self.fd, POLLIN, timeout):
                    raise TimeoutError(f"the client sent no byte of the body for {timeout:g} s") from None

    # -- ending, by the reactor ----------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Tell the client that nothing more will be sent. Raises OSError when it is gone."""
        with socket(fileno=os.dup(self.fd)) as peer:  # shutdown(2) needs a socket object
            peer.shutdown(SHUT_WR)

    def farewell(self) -> None:
        """Say that this is the end of what was sent, and no accident. For kinds that have a word for it."""

    def hand_over(self) -> None:
        """The application takes the connection over: `fd` is from now on its to read and write, in plain bytes."""

    def end_input(self) -> None:
        """Whoever reads finds the end of input, once what has come is read. For a connection that was taken over."""
        with contextlib.suppress(OSError), socket(fileno=os.dup(self.fd)) as peer:
            peer.shutdown(SHUT_RD)

    def discard_input(self) -> bool:
        """Read and forget what has come; True when the client is done, or has sent absurdly much."""
        try:
            while data := os.read(self.fd, _DISCARD_BLOCK):
                self.discarded += len(data)
                if self.discarded > _MOST_DISCARDED:
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def cut(self) -> bool:
        """A response without a length is to end before it is whole, and must not look so: make the close a reset.

        Whether what is unsent has to be sent before the close.
        """
        self.prepare_reset()
        return False

    def prepare_reset(self) -> None:
        """Make the close a reset. A Unix socket knows none."""
        with contextlib.suppress(OSError), socket(fileno=os.dup(self.fd)) as peer:
            peer.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_ZERO)

    def drop_buffers(self) -> None:
        """Release what is held for this connection."""
        for piece in self.outbox:
            if isinstance(piece, FileSlice):
                piece.close()
        self.outbox = _NOTHING
        if self.incoming is not None:
            self.incoming.discard()
            self.incoming = None
        if self.body is not None:
            self.body.close()
            self.body = None
        self.environ = None
        self.inbox = b""
