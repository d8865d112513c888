"""Takes new clients from the listening sockets, fairly among the workers that share them.

Every worker watches the listeners with EPOLLEXCLUSIVE: the kernel wakes one that waits. A worker accepts only what its
free cores can serve at once, so that no client waits behind a busy worker while another one is idle.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import set_blocking
from select import EPOLLEXCLUSIVE, EPOLLIN, POLLIN, poll  # before gevent replaces them
from typing import Any, NamedTuple, TypeAlias

from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.messages import Codec

_PAUSE = 0.5
# How long a server that stops still accepts; long enough for data that is on its way behind a handshake.
_LAST_CALL = 0.05
_EVERYBODY = 1 << 30
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Siblings:
    """What the workers of one listener know of each other.

    idle: a byte per process, 1 while it waits for events (with gevent: while it has a free core) and is not leaving;
    `own` is this one's index. call_fd: an eventfd that all of them watch; writing to it wakes one that is idle, to
    accept what another had no time for.
    """

    idle: memoryview
    own: int
    call_fd: int

    def anyone_idle(self) -> bool:
        """Whether another worker waits for events."""
        flags = self.idle.tolist()
        return flags.count(1) > flags[self.own]


class Endpoint(NamedTuple):
    """A listening socket and what its clients speak. kind: what their connections are, which frames the answers.

    meet: makes the codec of each client from the listener's and the client's address, where that matters.
    """

    socket: socket.socket
    codec: Codec
    kind: type[Connection] = Connection
    meet: Callable[[Codec, Any], Codec] | None = None


# Takes over a new connection: descriptor (non-blocking), peer address, codec, kind.
Admit: TypeAlias = Callable[[int, Any, Codec, type[Connection]], None]


class Acceptor:
    """See the module. Used by the reactor's leader only.

    at_once: clients to accept in a round even when all cores are taken; more than 1 only without siblings.
    admit: given each new connection. shortage: called when the process has run out of descriptors.
    """

    def __init__(
        self,
        epoll: select.epoll,
        endpoints: Sequence[Endpoint],
        *,
        at_once: int,
        siblings: Siblings | None,
        admit: Admit,
        shortage: Callable[[], None],
    ) -> None:
        self._epoll, self._at_once, self._siblings = epoll, at_once, siblings
        self._admit, self._shortage = admit, shortage
        self._endpoints = {endpoint.socket.fileno(): endpoint for endpoint in endpoints}
        self._lookouts = {fd: poll() for fd in self._endpoints}
        for fd, lookout in self._lookouts.items():
            lookout.register(fd, POLLIN)
        self._resume_at: float | None = None
        self._close_at: float | None = None
        self._held = False
        self._listen()
        if siblings is not None:
            epoll.register(siblings.call_fd, EPOLLIN | EPOLLEXCLUSIVE)

    @property
    def has_deadline(self) -> bool:
        """Whether `resume` or `close_if_due` has to be called from time to time."""
        return self._resume_at is not None or self._close_at is not None

    @property
    def has_siblings(self) -> bool:
        """Whether other workers accept from these sockets, too."""
        return self._siblings is not None

    @property
    def paused(self) -> bool:
        """Whether nobody is accepted for the moment, for want of descriptors."""
        return self._resume_at is not None

    def on_event(self, fd: int, *, now: float, room: int) -> None:
        """Accept if `fd` says that somebody waits. room: cores that are free and have nothing to do."""
        if endpoint := self._endpoints.get(fd):
            self._accept(endpoint, now=now, room=room)
        elif self._siblings is not None and fd == self._siblings.call_fd:
            self._called(now=now, room=room)

    def resume(self, now: float) -> None:
        """Listen again after a shortage of descriptors."""
        if self._resume_at is not None and now >= self._resume_at:
            self._resume_at = None
            if not self._held:
                self._listen()

    def hold(self) -> None:
        """Leave new clients in the listen queue until `unhold`."""
        if not self._held and not self.paused:
            self._ignore()
        self._held = True

    def unhold(self) -> None:
        """Listen again."""
        if self._held and not self.paused:
            self._listen()
        self._held = False

    def leave(self, *, now: float, backlog: bool) -> None:
        """Stop for good: at once, or with `backlog` only after the last call.

        The kernel wakes one worker for a new client. If it was this one, and nobody else connects soon, the others
        would never hear of that client: they are told to have a look.

        backlog: nobody else will serve who is in the listen queue, so all are accepted, and for a moment more those
        whose connection the kernel still holds back until its data comes (TCP_DEFER_ACCEPT).
        """
        if backlog:
            self._at_once = _EVERYBODY
            self._siblings_leave()
            self._close_at = now + _LAST_CALL
            self._accept_all(now)
        else:
            siblings = self._siblings
            self._close()
            if siblings is not None:
                os.eventfd_write(siblings.call_fd, 1)

    def close_if_due(self, now: float) -> None:
        """After the last call: accept who is left, and close."""
        if self._close_at is not None and now >= self._close_at:
            self._accept_all(now)
            self._close()

    def _accept_all(self, now: float) -> None:
        for endpoint in list(self._endpoints.values()):
            if not self.paused:
                self._take(endpoint, _EVERYBODY, now)

    def _close(self) -> None:
        for fd, endpoint in self._endpoints.items():
            if not (self.paused or self._held):
                self._epoll.unregister(fd)
            endpoint.socket.close()
        self._endpoints.clear()
        self._resume_at = self._close_at = None
        self._siblings_leave()

    def _siblings_leave(self) -> None:
        if self._siblings is not None:
            self._epoll.unregister(self._siblings.call_fd)
            self._siblings = None

    def _listen(self) -> None:
        for fd in self._endpoints:
            self._epoll.register(fd, EPOLLIN | EPOLLEXCLUSIVE)

    def _ignore(self) -> None:
        for fd in self._endpoints:
            self._epoll.unregister(fd)

    def _accept(self, endpoint: Endpoint, *, now: float, room: int) -> None:
        """Who cannot be served at once is left to an idle sibling, which is called: the kernel woke only this worker.

        When all are busy at least one is accepted, or new clients would starve behind those that keep their connection.
        """
        if self._siblings is not None and room <= 0 and self._siblings.anyone_idle():
            os.eventfd_write(self._siblings.call_fd, 1)
            return
        self._take(endpoint, room if room > self._at_once else self._at_once, now)

    def _take(self, endpoint: Endpoint, most: int, now: float) -> None:
        """Accept who waits, `most` of them at most. Plain: all of it runs once per client."""
        listener, codec, kind, meet = endpoint
        # Not accept(): that makes a socket object, which costs more than all else here.
        accept, admit = listener._accept, self._admit  # type: ignore[attr-defined]
        anybody = self._lookouts[listener.fileno()].poll
        while True:
            try:
                fd, address = accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause(now)
                return  # or a connection that was already in trouble (accept(2)): the next round tries again
            set_blocking(fd, False)
            admit(fd, address, codec if meet is None else meet(codec, address), kind)
            most -= 1
            # accept(2) makes a socket before it finds out that nobody waits; to ask first costs a tenth of that.
            if most <= 0 or not anybody(0):
                return

    def _pause(self, now: float) -> None:
        """Leave new clients in the listen queue for a moment."""
        if self.paused:
            return  # another listener has found out in this round
        self._ignore()
        self._resume_at = now + _PAUSE
        self._shortage()

    def _called(self, *, now: float, room: int) -> None:
        """Another worker has no time for a new client."""
        assert self._siblings is not None
        try:
            os.eventfd_read(self._siblings.call_fd)
        except BlockingIOError:
            return  # a third one was faster
        if self._held:
            return
        for endpoint in list(self._endpoints.values()):
            self._accept(endpoint, now=now, room=room)
