"""What master and template say to each other: one message per datagram of a socket pair (SOCK_SEQPACKET).

Down: SpawnWorker, ReopenLog. Up: TemplateReady or LoadFailed once, then Spawned or SpawnFailed for every SpawnWorker.
With lazy-apps a worker that cannot load its application sends LoadFailed itself before it exits: so the master knows.
"""

from __future__ import annotations

import marshal
import socket
from dataclasses import dataclass

# A message must fit into the send buffer (208 KiB), at most 4 bytes a character; a longer traceback keeps its end,
# where the reason is.
LONGEST_DETAILS = 40_000
LONGEST_MESSAGE = 4_000
RECEIVE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class SpawnWorker:
    """Fork worker `wid` into `bank` of its scoreboard records; `serial` identifies the order in the answer.

    is_first: no process had this number before. follows_victim: harakiri has ended a process with this number, which
    may have left reports.
    """

    serial: int
    wid: int
    bank: int
    is_first: bool
    follows_victim: bool = False


@dataclass(frozen=True, slots=True)
class ReopenLog:
    """The log file may have been moved away."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The worker ordered by `serial` exists."""

    serial: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The worker ordered by `serial` could not be forked."""

    serial: int
    reason: str


@dataclass(frozen=True, slots=True)
class TemplateReady:
    """The application is loaded (or will be by each worker) and workers can be ordered."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The application cannot be loaded; `serial` is the worker's order with lazy-apps, 0 when the template loads."""

    serial: int
    message: str
    details: str
    exit_code: int


Message = SpawnWorker | ReopenLog | Spawned | SpawnFailed | TemplateReady | LoadFailed
KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (SpawnWorker, ReopenLog, Spawned, SpawnFailed, TemplateReady, LoadFailed)
}


def channel() -> tuple[socket.socket, socket.socket]:
    """The two ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(message: Message) -> bytes:
    """A message as one datagram.

    marshal and not json: the template writes these between two forks, and each page that it touches there is a page
    that a worker no longer shares.
    """
    return marshal.dumps((type(message).__name__, *[getattr(message, name) for name in message.__slots__]))


def decode(data: bytes) -> Message:
    """The message of one datagram."""
    kind, *fields = marshal.loads(data)
    return KINDS[kind](*fields)


def receive(end: socket.socket) -> Message | None:
    """The next message, None at the end of the channel. BlockingIOError when there is none on a non-blocking end."""
    data = end.recv(RECEIVE_BYTES)
    return decode(data) if data else None


def load_failed(serial: int, message: str, details: str, exit_code: int) -> LoadFailed:
    """A LoadFailed cut to what a datagram takes."""
    return LoadFailed(serial, message[:LONGEST_MESSAGE], details[-LONGEST_DETAILS:], exit_code)
