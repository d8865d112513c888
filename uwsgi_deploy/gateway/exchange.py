"""One request on its way: from a client's connection to a server, and the answer back.

It owns the client's connection, as a worker's core would, from the complete request to the end of the answer. The
dispatcher gives it a connection to a server (`use`) or gives up (`fail`). Whatever it hears in between are hints from
epoll: it reads and writes until the kernel has no more.
"""

from __future__ import annotations

import os
import traceback
from errno import ETIMEDOUT
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from sys import maxsize
from time import time
from typing import TYPE_CHECKING

from uwsgi_deploy.errors import ClientGone, ProtocolError
from uwsgi_deploy.gateway.answer import (
    SWITCHING_PROTOCOLS,
    AnswerHead,
    Wish,
    bad,
    is_bodyless,
    switch_head,
    take_head,
    write_head,
)
from uwsgi_deploy.gateway.pipe import Pipe
from uwsgi_deploy.gateway.relay import Relay, relay_for
from uwsgi_deploy.gateway.upstream import READ_SIZE, Upstream
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.messages import UPGRADE
from uwsgi_deploy.types import Protocol

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.backends import Backend
    from uwsgi_deploy.gateway.router import Router

# Bytes of an answer that are kept for a slow client before the server has to wait; less where there are many of them.
_HIGH_WATER = 1 << 20
_ALL_WATER = 64 << 20
_LOW_WATER = 65536
_GONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# How often `Connection: close` may stand in an answer without being the application's word to its client: a server that
# speaks HTTP was asked for it, our workers say it for themselves (`RoutedConnection`), others have nothing to say.
_SAID_BY_SERVERS = {Protocol.HTTP: maxsize, Protocol.ROUTED: 1, Protocol.UWSGI: 0}
_GZIP_OFFER = ("gzip",)


class Exchange:
    """See the module. deadline: monotonic seconds. tried: servers that could not take the request."""

    __slots__ = (
        "answered",
        "blocks",
        "connection",
        "deadline",
        "host",
        "inbox",
        "is_over",
        "is_paused",
        "is_upgrade",
        "method",
        "pipe",
        "relay",
        "router",
        "send_error",
        "started",
        "tried",
        "upstream",
        "wish",
    )

    def __init__(self, router: Router, connection: Connection) -> None:
        self.router, self.connection = router, connection
        environ = connection.environ
        assert environ is not None
        assert connection.facts is not None
        self.method: str = environ["REQUEST_METHOD"]
        self.host: str = environ.get("HTTP_HOST", "")
        self.is_upgrade = connection.live_length == UPGRADE
        connection.live_length = 0  # it said what the request asks for; an ordinary answer may keep the connection
        self.wish = Wish(self.method == "HEAD", environ["SERVER_PROTOCOL"] != "HTTP/1.0", connection.keep_alive)
        self.blocks = router.packer.blocks(environ, is_upgrade=self.is_upgrade)
        self.upstream: Upstream | None = None
        self.tried: list[Backend] = []
        self.relay: Relay | None = None
        self.pipe: Pipe | None = None
        self.send_error: OSError | None = None
        self.inbox = b""
        self.deadline = 0.0
        self.answered = self.started = self.is_paused = self.is_over = False

    # -- the server ----------------------------------------------------------------------------------------------------

    def use(self, upstream: Upstream) -> None:
        """Send the request on this connection."""
        self.upstream, upstream.exchange = upstream, self
        router, backend = self.router, upstream.backend
        backend.active += 1
        backend.requests += 1
        try:
            head = router.head_for(self, backend)
        except ProtocolError as error:
            self._leave_server(reusable=not upstream.is_connecting)
            self.fail(error)
            return
        body = self.connection.body
        try:
            if body is not None:
                body.seek(0)
            upstream.put(head, body)
        except OSError as error:
            self._leave_server(reusable=False)
            self.fail(ProtocolError(503, f"the request cannot be passed on: {error.strerror}"), retry_after=1)
            return
        if upstream.is_connecting:
            self.deadline = router.reactor.now + router.connect_timeout
            upstream.watch()
            return
        self.deadline = router.reactor.now + router.timeout
        self._send()

    def _send(self) -> None:
        """Go on sending the request. A server that refuses to hear it all may have answered already."""
        upstream = self.upstream
        assert upstream is not None
        try:
            sent = upstream.flush()
        except OSError as error:
            self.send_error = error
            upstream.drop_output()
            upstream.keeps = False
            upstream.watch()
            self._read(to_end=True)
            return
        if sent:
            upstream.backend.sent += sent
            self.deadline = self.router.reactor.now + self.router.timeout

    def upstream_event(self, mask: int) -> None:
        """Something happened on the connection to the server."""
        upstream = self.upstream
        assert upstream is not None
        if upstream.is_connecting:
            if failure := upstream.connected():
                self._not_connected(OSError(failure, os.strerror(failure)))
                return
            self.deadline = self.router.reactor.now + self.router.timeout
        if self.pipe is not None:
            self.pipe.server_event()
            return
        if upstream.outbox and mask & EPOLLOUT:
            self._send()
            if self.upstream is not upstream:
                return
        if mask & (EPOLLIN | _GONE):
            self._read(to_end=bool(mask & _GONE))

    def _read(self, *, to_end: bool) -> None:
        """Read what has come. to_end: the server has closed its side, and that is to be heard after it."""
        upstream = self.upstream
        assert upstream is not None
        while not self.is_paused:
            try:
                data = os.read(upstream.fd, READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self._broken(error)
                return
            if not data:
                self._ended()
                return
            size = len(data)
            upstream.backend.received += size
            if upstream.greeting:
                data = self.router.greeted(upstream, data)
            if data:
                try:
                    self._take(data)
                except ProtocolError as error:
                    self._refuse_answer(error)
                except ClientGone:
                    self.client_left()
            if self.upstream is not upstream or self.pipe is not None or (size < READ_SIZE and not to_end):
                return

    def _take(self, data: bytes) -> None:
        """What the server sent. Raises ProtocolError, ClientGone."""
        if (relay := self.relay) is not None:
            self.deadline = self.router.reactor.now + self.router.timeout
            if out := relay.feed(data):
                self._to_client(out)
            if relay.done:
                self._finish(reusable=not relay.has_rest)
            return
        self.answered = True
        data = self.inbox + data if self.inbox else data
        while True:
            taken = take_head(data)
            if taken is None:
                self.inbox = data
                self.deadline = self.router.reactor.now + self.router.timeout
                return
            answer, data = taken
            if answer.status >= 200 or answer.status == SWITCHING_PROTOCOLS:
                break
            self._interim(answer)
            if not data:
                self.inbox = b""
                return
        self.inbox = b""
        self._begin(answer, data)

    def _begin(self, answer: AnswerHead, data: bytes) -> None:
        """The answer has a head: write that of the client, and go on with its body, of which `data` has come."""
        router, connection, upstream = self.router, self.connection, self.upstream
        assert upstream is not None
        if answer.status == SWITCHING_PROTOCOLS:
            self._switch(answer, data)
            return
        wish = self.wish
        # An application that says `Connection: close` means its client.
        is_last = answer.closes > _SAID_BY_SERVERS[upstream.backend.speaks]
        if is_last or router.reactor.draining or not connection.keep_alive:
            wish = wish._replace(keeps=False)
        bodyless = is_bodyless(answer, is_head=wish.is_head)
        gzip = answer.wants_gzip and self._compresses(answer)
        head, connection.keep_alive = write_head(answer, wish, router.date.at(time()), gzip=gzip)
        self.started = True
        router.count(answer.status)
        if bodyless or answer.length == len(data):
            if bodyless:
                whole, reusable = head, not data
            elif gzip and data:
                whole, reusable = head + relay_for(len(data), chunking=wish.chunking, gzip=True).feed(data), True
            else:
                whole, reusable = head + data, True
            connection.send(whole)
            self._finish(reusable=reusable and answer.keeps)
            return
        relay = self.relay = relay_for(answer.length, chunking=wish.chunking, gzip=gzip)
        upstream.keeps = upstream.keeps and answer.keeps
        try:
            out = relay.feed(data) if data else b""
        except ProtocolError:
            self._to_client(head)
            raise
        self._to_client(head + out)
        self.deadline = router.reactor.now + router.timeout
        if relay.done:
            self._finish(reusable=not relay.has_rest)

    def _compresses(self, answer: AnswerHead) -> bool:
        """Whether the body of this answer is to be compressed (http-auto-gzip)."""
        preferred_codings = self.router.preferred_codings
        if preferred_codings is None or answer.is_encoded or not answer.length or answer.status in (204, 206, 304):
            return False
        environ = self.connection.environ
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "") if environ is not None else ""
        return bool(preferred_codings(accepted, _GZIP_OFFER))

    def _interim(self, answer: AnswerHead) -> None:
        """A 1xx is for the client (RFC 9110 §15.2), but for 100: the router has sent that if it was waited for."""
        if answer.status != 100 and self.wish.chunking:
            self.connection.send(answer.start + b"\r\n")

    def _switch(self, answer: AnswerHead, data: bytes) -> None:
        upstream, connection = self.upstream, self.connection
        assert upstream is not None
        if not self.is_upgrade or not answer.upgrade:
            raise bad("the server switches protocols without having been asked to")
        self.started = True
        self.router.count(answer.status)
        connection.keep_alive = False
        connection.live_length = UPGRADE
        self.pipe = Pipe(self, upstream)
        self.pipe.begin(switch_head(answer) + data)

    def pipe_closed(self) -> None:
        """What followed the 101 is over."""
        self._leave_server(reusable=False)
        self._end()
        self.router.reactor.abort(self.connection)

    def _to_client(self, data: bytes) -> None:
        connection = self.connection
        connection.send(data)
        if connection.outbox and connection.in_memory > self.router.high_water(_HIGH_WATER, _ALL_WATER):
            self.is_paused = True
            self.deadline = self.router.reactor.now + connection.send_timeout

    def _ended(self) -> None:
        """The server has closed its connection."""
        if self.relay is None:
            self._broken(None)
            return
        rest = self.relay.end()
        if rest is None:
            self._cut("the server closed its connection inside its answer")
            return
        try:
            if rest:
                self.connection.send(rest)
        except ClientGone:
            self.client_left()
            return
        self._finish(reusable=False)

    def _finish(self, *, reusable: bool) -> None:
        """The answer is whole; the client may still have to take the rest of it."""
        self._leave_server(reusable=reusable)
        connection = self.connection
        if connection.body is not None:
            connection.body.close()
            connection.body = None
        self._end()
        self.router.reactor.release(connection)

    def _leave_server(self, *, reusable: bool) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.exchange = None
            upstream.backend.active -= 1
            self.router.leave(upstream, reusable=reusable and not upstream.outbox and upstream.keeps)

    def _end(self) -> None:
        self.is_over = True
        self.router.forget(self)

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def _not_connected(self, error: OSError) -> None:
        upstream = self.upstream
        assert upstream is not None
        self._leave_server(reusable=False)
        self.router.unreachable(self, upstream.backend, error)

    def _broken(self, error: OSError | None) -> None:
        """The connection to the server is lost: error, or None for an orderly end where there should be an answer."""
        upstream = self.upstream
        assert upstream is not None
        if self.started:
            self._cut("the server's connection broke inside its answer")
            return
        self._leave_server(reusable=False)
        error, self.send_error = error or self.send_error, None
        if not self.answered and self.router.tries_again(self, upstream, error):
            return
        upstream.backend.failures += 1
        reason = "closed its connection without an answer" if error is None else f"left: {error.strerror}"
        self.fail(ProtocolError(502, f"the server {reason}"), backend=upstream.backend)

    @property
    def is_idempotent(self) -> bool:
        """Whether the request may be sent twice (RFC 9110 §9.2.2)."""
        return self.method in _IDEMPOTENT

    def _refuse_answer(self, error: ProtocolError) -> None:
        """The server broke HTTP."""
        upstream = self.upstream
        if upstream is None:
            return
        upstream.backend.failures += 1
        if self.started:
            self._cut(error.detail)
            return
        self._leave_server(reusable=False)
        self.fail(ProtocolError(502, error.detail), backend=upstream.backend)

    def _cut(self, reason: str) -> None:
        """The answer has begun and cannot be completed: the client must not take it for whole."""
        upstream, connection = self.upstream, self.connection
        self.router.complain(self, upstream.backend if upstream else None, reason)
        self._leave_server(reusable=False)
        self._end()
        try:
            connection.send_more()
        except ClientGone:
            pass
        if not self.wish.chunking:
            connection.prepare_reset()
        self.router.reactor.abort(connection)

    def failed(self, error: Exception) -> None:
        """Something here is wrong: say so, and end this one request."""
        text = "".join(traceback.format_exception(error))
        self.router.complain(self, None, f"the router failed:\n{text}")
        if not self.is_over:
            self.router.withdraw(self)
            self._leave_server(reusable=False)
            self._end()
            self.router.reactor.abort(self.connection)

    def fail(self, error: ProtocolError, *, backend: Backend | None = None, retry_after: int = 0) -> None:
        """Answer in the place of a server."""
        router, connection = self.router, self.connection
        router.complain(self, backend, f"{error.status}: {error.detail}")
        router.count(error.status)
        if connection.body is not None:
            connection.body.close()
            connection.body = None
        self._end()
        connection.keep_alive = self.wish.keeps and not router.reactor.draining and not self.is_upgrade
        try:
            connection.send(router.failure(error, self.wish._replace(keeps=connection.keep_alive), retry_after))
        except ClientGone:
            router.reactor.abort(connection)
            return
        router.reactor.release(connection)

    # -- the client ----------------------------------------------------------------------------------------------------

    def client_event(self, mask: int) -> None:
        """Something happened on the client's connection, which is not the reactor's now.

        A client that only ended its side waits for its answer (RFC 9112 §9.6).
        """
        connection = self.connection
        if self.pipe is not None:
            self.pipe.client_event()
            return
        if mask & (EPOLLHUP | EPOLLERR):
            self.client_left()
            return
        if connection.outbox:
            before = connection.unsent
            try:
                connection.send_more()
            except ClientGone:
                self.client_left()
                return
            if self.is_paused:
                if connection.unsent < before:
                    self.deadline = self.router.reactor.now + connection.send_timeout
                self._resume()

    def _resume(self) -> None:
        """Go on reading when the client has taken most of what is kept for it."""
        if self.connection.in_memory > _LOW_WATER:
            return
        self.is_paused = False
        self.deadline = self.router.reactor.now + self.router.timeout
        self._read(to_end=True)

    def router_leaves(self) -> None:
        """What follows an upgrade may last for hours: its server finds the end of input."""
        if self.pipe is not None:
            self.pipe.end_input()

    def client_left(self) -> None:
        """Nobody waits for the answer."""
        self.router.withdraw(self)
        self._leave_server(reusable=False)
        self._end()
        self.router.lost_clients += 1
        self.router.reactor.abort(self.connection)

    # -- the clock -----------------------------------------------------------------------------------------------------

    def too_late(self) -> None:
        """The deadline has passed."""
        router, upstream = self.router, self.upstream
        if self.pipe is not None:
            self.pipe.close()
        elif upstream is None:
            router.withdraw(self)
            self.fail(ProtocolError(503, "no server had time for the request"), retry_after=1)
        elif upstream.is_connecting:
            self._not_connected(OSError(ETIMEDOUT, os.strerror(ETIMEDOUT)))
        elif self.is_paused:
            self.client_left()
        elif self.started:
            self._cut(f"the server sent nothing for {router.timeout:g} s")
        else:
            upstream.backend.failures += 1
            self._leave_server(reusable=False)
            self.fail(
                ProtocolError(504, f"the server did not answer within {router.timeout:g} s"), backend=upstream.backend
            )
