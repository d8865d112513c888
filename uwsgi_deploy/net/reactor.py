"""The worker's epoll loop: accepts, reads complete requests, sends what responses left over, times out slow peers.

It never runs application code: a request that is complete goes into `ready`, and whoever polled serves it. One thread
polls at a time (the leader, see `worker.engines`); cores give connections back from other threads with `release`.

Connections are registered once, edge-triggered for reading and writing. While a core owns a connection an edge only
sets `readable`. No edge is lost: the reactor sets `readable` before it looks at the state, a core gives the state back
before it looks at `readable`, and every connection that is given back with something to do passes through `_returned`,
which only the leader empties. Setting the state is what gives a connection back: a core that does so touches its
descriptor no more, which may be closed, and another client's, by then.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from os import close  # before gevent replaces it, and epoll
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epoll
from time import monotonic, time
from typing import Any

from uwsgi_deploy.errors import ClientGone, ProtocolError
from uwsgi_deploy.net.acceptor import Acceptor, Endpoint, Siblings
from uwsgi_deploy.net.connection import Connection, Limits, Wait
from uwsgi_deploy.net.pause import Pause
from uwsgi_deploy.net.receiving import BODY, BUSY, CLOSED, HEAD, LINGERING, SENDING, Receiving
from uwsgi_deploy.protocol.messages import Codec, Environ
from uwsgi_deploy.protocol.responses import DateLine, error_response

_CONNECTION_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
_GONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR
_TICK = 1.0
_DRAINING_TICK = 0.05
_LINGER_TIME = 5.0
# Unsent response bytes that the reactor keeps for all connections; beyond it cores send their responses to the end.
UNSENT_LIMIT = 64 << 20


class Reactor(Receiving):
    """See the module.

    ready: connections with a complete request, oldest first. now: monotonic seconds of the last look at the clock.
    accept_at_once: clients to accept in a round even when the cores are taken (more than 1 only without siblings).
    siblings: the other workers of these listeners, or None. on_refused: told of requests that are answered here because
    they are wrong. on_gone: given the environ of those whose client left before the rest of the response was sent.
    """

    is_watched = False  # see `net.watched`

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        limits: Limits,
        *,
        cores: int,
        accept_at_once: int,
        wait: Wait,
        on_refused: Callable[[Connection, ProtocolError], None],
        on_gone: Callable[[Environ], None],
        siblings: Siblings | None = None,
    ) -> None:
        self.ready: deque[Connection] = deque()
        self.now, self.draining = monotonic(), False
        self.connections: dict[int, Connection] = {}
        self.unsent, self.free_cores = 0, cores
        self._epoll = epoll()
        self.unwatch = self._epoll.unregister  # a descriptor of which nothing is to be heard any more
        self._limits, self._wait, self._on_refused, self._on_gone = limits, wait, on_refused, on_gone
        self._idle_flag = siblings.idle[siblings.own : siblings.own + 1] if siblings else bytearray(1)
        self._watched: dict[int, Callable[[], object]] = {}
        self._returned: deque[Connection] = deque()
        self._next_sweep = self.now + _TICK
        self._polling = self._drain_wanted = self._drain_backlog = False
        self._date = DateLine()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake_fd, lambda: os.eventfd_read(self._wake_fd))
        self._acceptor = Acceptor(
            self._epoll,
            endpoints,
            at_once=accept_at_once,
            siblings=siblings,
            admit=self.admit,
            shortage=self._close_idle,
        )
        self.pause = Pause(self.ready, self._acceptor)

    # -- the round -----------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """One round: wait until something happens, then do all input and output that is ready."""
        if self._drain_wanted:
            self._start_draining(backlog=self._drain_backlog)
        self._polling = True
        if self._returned or self.ready or self._drain_wanted or self.is_watched:
            timeout = 0.0
        elif self.connections or self._acceptor.has_deadline:
            timeout = _DRAINING_TICK if self.draining else _TICK
        else:
            timeout = 0.0 if self.draining else -1.0  # drained: nobody is left who could end the wait
        self._idle_flag[0] = 1
        events = self._epoll.poll(timeout)
        self._idle_flag[0] = 0
        self._polling = False
        now = self.now = monotonic()
        connections = self.connections
        others = None
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                others = [*others, fd] if others else [fd]
            elif connection.state is HEAD:
                if mask & _GONE:
                    self._peer_left(connection, mask)
                elif mask & EPOLLIN or connection.outbox:  # a handshake (TLS) is sent while a head is waited for
                    self._read_head(connection)
            else:
                self._event(connection, mask)
        if self._returned:
            self._take_back()
        if now >= self._next_sweep:
            self._sweep(now)
        # Last, so that known clients come first, and only what a free core can take at once is accepted.
        if others:
            for fd in others:
                if action := self._watched.get(fd):
                    action()
                else:
                    self._acceptor.on_event(fd, now=self.now, room=self.free_cores - len(self.ready))
        if self.pause.waiting is not None:
            self.pause.hold_back()

    def wake(self) -> None:
        """End a wait in `poll` that another thread is in."""
        if self._polling:
            os.eventfd_write(self._wake_fd, 1)

    def watch(self, fd: int, action: Callable[[], object]) -> None:
        """Call `action` in the leader whenever `fd` is readable."""
        self._watched[fd] = action
        self._epoll.register(fd, EPOLLIN)

    def _event(self, connection: Connection, mask: int) -> None:
        """An event on a connection that does not wait for a head."""
        if mask & _GONE:
            connection.eof = True
        if mask & (EPOLLIN | _GONE):
            connection.readable = True
        state = connection.state  # looked at after `readable` is set: see the module
        if state is BODY:
            self._read_body(connection)
        elif state is SENDING:
            self._send_rest(connection)
        elif state is LINGERING:
            self._linger(connection)
        elif state is HEAD:  # a core gave it back in between
            self._read_head(connection)

    # -- accepting -----------------------------------------------------------------------------------------------------

    def admit(self, fd: int, address: Any, codec: Codec, kind: type[Connection] = Connection) -> None:
        """Take over a connection: a non-blocking descriptor, the peer's address, what it speaks."""
        limits = self._limits
        connection = kind(fd, codec, address, limits.send_timeout, self._wait)
        connection.deadline = self.now + limits.header_timeout
        self.connections[fd] = connection
        # The kernel deferred the accept until there is something to read, or the client is quick: saves a round.
        self._read_head(connection)
        if connection.state is HEAD or connection.state is BODY:
            self._register(connection)

    def _close_idle(self) -> None:
        """Out of descriptors: let go of clients that only might come back."""
        for connection in list(self.connections.values()):
            if connection.state is HEAD and not connection.inbox:
                self._close(connection)

    def _register(self, connection: Connection) -> None:
        if not connection.registered and not self._epoll.closed:  # closed: a core that was stuck comes back too late
            connection.registered = True
            self._epoll.register(connection.fd, _CONNECTION_EVENTS)

    # -- giving back ---------------------------------------------------------------------------------------------------

    def release(self, connection: Connection) -> None:
        """A core is done with its request; the response is sent or in `outbox`. May be called from any thread."""
        settled = not (connection.outbox or connection.eof or self.draining)
        if settled and connection.keep_alive and connection.registered:
            # What nearly always happens, without calls; the order of the last two lines matters, see the module.
            connection.environ = None
            connection.deadline = self.now + self._limits.keepalive_timeout
            connection.state = HEAD
            if connection.inbox or connection.readable:
                self._return(connection)
        elif connection.outbox:
            connection.deadline = self.now + self._limits.send_timeout
            self.unsent += connection.in_memory
            self._register(connection)
            connection.state = SENDING
            self._return(connection)
        elif (
            connection.keep_alive
            or connection.readable
            or connection.inbox
            or connection.live_length
            or connection.has_farewell
        ):
            self._after_response(connection)
        else:  # one request each, and all is said: what `_end` would find out
            self._close(connection)

    def _after_response(self, connection: Connection) -> None:
        """Wait for the next request if there may be one; a client that closed its side may have sent it before."""
        connection.environ = None
        if connection.keep_alive and not (connection.eof and not connection.inbox and not connection.readable):
            self._await_next(connection)
        else:
            self._end(connection)

    def _await_next(self, connection: Connection) -> None:
        grace = connection.idle_grace if self.draining else self._limits.keepalive_timeout
        connection.deadline = self.now + grace
        connection.state = HEAD
        self._register(connection)
        if connection.inbox or connection.readable:
            self._return(connection)

    def _return(self, connection: Connection) -> None:
        self._returned.append(connection)
        self.wake()

    def _take_back(self) -> None:
        """Go on with connections that came back with something to do. Each may have been seen by an event already."""
        for _ in range(len(self._returned)):
            connection = self._returned.popleft()
            if connection.state is SENDING:
                self._send_rest(connection)
            elif connection.state is BODY:
                self._read_body(connection)
            elif connection.state is HEAD:
                if connection.inbox:
                    data, connection.inbox = connection.inbox, b""
                    self._head(connection, data)
                if connection.state is HEAD and (connection.readable or connection.eof):
                    self._read_head(connection)
            elif connection.state is LINGERING:
                self._linger(connection)

    # -- sending -------------------------------------------------------------------------------------------------------

    def _send_rest(self, connection: Connection) -> None:
        before, kept = connection.unsent, connection.in_memory
        try:
            done = connection.send_more()
        except ClientGone:
            self._give_up(connection, kept)
            return
        left = connection.unsent
        self.unsent -= kept - connection.in_memory
        if left < before:
            connection.deadline = self.now + self._limits.send_timeout
        if done:
            self._after_response(connection)
        elif left < before and connection.writable:
            self._returned.append(connection)  # a fast reader of much: the others first

    def _give_up(self, connection: Connection, unsent: int) -> None:
        """The client left, or takes nothing any more, before its response was whole."""
        self.unsent -= unsent
        if connection.environ is not None:
            self._on_gone(connection.environ)
        self._close(connection)

    def refuse(self, connection: Connection, error: ProtocolError) -> None:
        """Answer a request that cannot be served, and end the connection."""
        self._on_refused(connection, error)
        if connection.refuse(error_response(error, self._date.at(time())), error):
            self._start_lingering(connection)
        else:
            self._close(connection)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _end(self, connection: Connection) -> None:
        """The last response is sent. With unread input a plain close would reset it (RFC 9112 §9.6): linger then.

        `readable` only says that nobody has looked: it is so after each body of a known length.
        """
        if connection.has_farewell:
            connection.farewell()
            if connection.outbox:  # the client has not taken all of the response itself yet
                connection.deadline = self.now + self._limits.send_timeout
                self.unsent += connection.in_memory
                self._register(connection)
                connection.state = SENDING
                self._return(connection)
                return
        unread = connection.inbox or connection.live_length
        if not unread and connection.readable:
            unread = not connection.discard_input() and connection.discarded
        if unread and not connection.eof:
            self._start_lingering(connection)
        else:
            self._close(connection)

    def _start_lingering(self, connection: Connection) -> None:
        connection.inbox = b""
        connection.deadline = self.now + _LINGER_TIME
        try:
            connection.shut_down()
        except OSError:
            self._close(connection)
            return
        self._register(connection)
        connection.state = LINGERING
        self._return(connection)

    def _linger(self, connection: Connection) -> None:
        """Read and forget until the client is done, within bounds."""
        if connection.discard_input():
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.state is CLOSED:
            return
        connection.state = CLOSED
        del self.connections[connection.fd]  # before the close: then the number may be another client's
        if connection.outbox or connection.incoming or connection.body:
            connection.drop_buffers()
        close(connection.fd)

    abort = _close  # for a connection whose response cannot be completed

    def _sweep(self, now: float) -> None:
        """Once a tick: end what is past its deadline, accept again after a pause."""
        self._next_sweep = now + (_DRAINING_TICK if self.draining else _TICK)
        self._acceptor.resume(now)
        self._acceptor.close_if_due(now)
        for connection in [c for c in list(self.connections.values()) if c.deadline < now and c.state is not BUSY]:
            self._too_slow(connection)

    def _too_slow(self, connection: Connection) -> None:
        if (state := connection.state) is HEAD and not connection.inbox:
            self._read_head(connection)  # a request that came this very moment would be reset by the close
            if connection.state is HEAD and connection.deadline < self.now:
                if connection.has_farewell:
                    connection.farewell()
                self._close(connection)
        elif state is BODY or state is HEAD:
            self.refuse(connection, ProtocolError(408, f"the request {state.name.lower()} did not come in time"))
        elif state is SENDING:
            self._give_up(connection, connection.in_memory)
        else:
            self._close(connection)

    # -- leaving -------------------------------------------------------------------------------------------------------

    def drain(self, *, backlog: bool) -> None:
        """Take no new connections and let the known ones end; may be called from any thread, more than once.

        backlog: first accept all that the kernel has already accepted, because nobody else will.
        """
        if not self.draining:
            self.draining = True
            self._drain_wanted = True
            self._drain_backlog = backlog
            self.wake()

    @property
    def is_over(self) -> bool:
        """Whether all that was to be drained has ended."""
        return self.draining and not (self._drain_wanted or self.connections or self._acceptor.has_deadline)

    def _start_draining(self, *, backlog: bool) -> None:
        self._drain_wanted, self._next_sweep = False, self.now
        self._idle_flag = bytearray(1)  # siblings must not count on this worker any more
        self.pause.give_up()
        self._acceptor.leave(now=self.now, backlog=backlog)
        for connection in list(self.connections.values()):  # cores may be closing others meanwhile
            if connection.state is HEAD and not connection.inbox:
                connection.deadline = min(connection.deadline, self.now + connection.idle_grace)

    def close(self) -> None:
        """Close every connection at once, and what the reactor itself holds open."""
        for connection in list(self.connections.values()):
            self._close(connection)
        self._epoll.close()
        close(self._wake_fd)
