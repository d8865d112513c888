"""A client and a server that a fastrouter or a rawrouter has connected: bytes both ways, none of them looked at.

Reading stops where the other side does not keep up. What comes from epoll is a hint: with each, all is moved that can
be. A fastrouter's client is a web server that asks one question: without an answer from a server it gets one of the
router, and the end of the answer is the end of it all. With a rawrouter either side may go on after the other has
ended, and a connection that breaks is a connection that breaks on the other side, too.
"""

from __future__ import annotations

import os
import traceback
from errno import ETIMEDOUT
from select import EPOLLERR, EPOLLHUP
from typing import TYPE_CHECKING

from uwsgi_deploy.errors import ClientGone, ProtocolError
from uwsgi_deploy.gateway.upstream import READ_SIZE, Upstream
from uwsgi_deploy.net.connection import Connection

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.backends import Backend
    from uwsgi_deploy.gateway.streams import StreamRouter

# Bytes that are kept for either side before the other one has to wait.
HIGH_WATER = 262144
_READS_IN_A_ROW = 16


class Stream:
    """See the module. host: the key of its server. first: what the server gets before anything else; it is kept, with
    what follows, for another server until this one has taken some of it. method: for the log."""

    __slots__ = (
        "_client_ended",
        "_client_gone",
        "_first",
        "_is_answered",
        "_is_forwarded",
        "_is_refused",
        "_server_deaf",
        "_server_ended",
        "_server_error",
        "_shut",
        "connection",
        "deadline",
        "host",
        "is_over",
        "method",
        "router",
        "tried",
        "upstream",
    )

    is_idempotent = False

    def __init__(self, router: StreamRouter, connection: Connection, *, host: str, first: bytes, method: str) -> None:
        self.router, self.connection = router, connection
        self.host, self.method, self._first = host, method, first
        self.upstream: Upstream | None = None
        self.tried: list[Backend] = []
        self.deadline = 0.0
        self._shut: set[str] = set()
        self._server_error: OSError | None = None
        # ended: that side sends no more. gone, deaf: it takes no more.
        self._client_ended = self._client_gone = self._server_ended = self._server_deaf = False
        self._is_forwarded = self._is_answered = self._is_refused = self.is_over = False

    # -- the server ----------------------------------------------------------------------------------------------------

    def use(self, upstream: Upstream) -> None:
        """See `Passage`."""
        self.upstream, upstream.exchange = upstream, self
        upstream.backend.active += 1
        upstream.backend.requests += 1
        if self._first:
            upstream.outbox.append(self._first)
        if upstream.is_connecting:
            self.deadline = self.router.reactor.now + self.router.connect_timeout
            upstream.watch()
        else:
            self._connected()

    def _connected(self) -> None:
        upstream = self.upstream
        assert upstream is not None
        self.deadline = self.router.reactor.now + self.router.patience
        upstream.watch()
        self._pump()

    def upstream_event(self, mask: int) -> None:  # noqa: ARG002
        """See `Passage`."""
        upstream = self.upstream
        assert upstream is not None
        if not upstream.is_connecting:
            self._pump()
        elif failure := upstream.connected():
            self._not_connected(OSError(failure, os.strerror(failure)))
        else:
            self._connected()

    def _not_connected(self, error: OSError) -> None:
        upstream = self.upstream
        assert upstream is not None
        self._leave_server()
        self.router.dispatcher.unreachable(self, upstream.backend, error)

    def _leave_server(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.exchange = None
            upstream.backend.active -= 1
            self.router.dispatcher.leave(upstream, reusable=False)

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Move what can be moved, then see what has ended."""
        moved = self._to_server() + self._to_client()
        if moved:
            self.deadline = self.router.reactor.now + self.router.patience
        self._settle()

    def _to_server(self) -> int:
        """From the client to the server; how many bytes the server took."""
        connection, upstream = self.connection, self.upstream
        assert upstream is not None
        taken = 0
        for _ in range(_READS_IN_A_ROW):
            taken += self._flush(upstream)
            if self._client_ended or (upstream.outbox and upstream.unsent > HIGH_WATER):
                break
            try:
                data = connection.read(connection.fd, READ_SIZE)
            except BlockingIOError:
                break
            except OSError:
                self._client_ended = self._client_gone = True
                break
            if not data:
                self._client_ended = True
                break
            if not self._server_deaf:
                upstream.outbox.append(data)
            if not self._is_forwarded:
                self._first += data
        else:
            self.router.reactor.look_again(self)
        taken += self._flush(upstream)
        is_all_sent = self._client_ended and not (self._client_gone or upstream.outbox or self._server_deaf)
        if is_all_sent and "server" not in self._shut:
            self._shut.add("server")
            try:
                upstream.end_output()
            except OSError:
                self._server_deaf = True
        return taken

    def _flush(self, upstream: Upstream) -> int:
        if not upstream.outbox:
            return 0
        try:
            taken = upstream.flush()
        except OSError as error:
            self._server_deaf = self._is_refused = True
            self._server_error = error
            upstream.drop_output()
            return 0
        if taken:
            self._is_forwarded, self._first = True, b""
            upstream.backend.sent += taken
        return taken

    def _to_client(self) -> int:
        """From the server to the client; how many bytes were moved."""
        connection, upstream = self.connection, self.upstream
        assert upstream is not None
        moved = 0
        try:
            if connection.outbox:
                before = connection.unsent
                connection.send_more()
                moved = before - connection.unsent
            for _ in range(_READS_IN_A_ROW):
                if self._server_ended or self._client_gone:
                    break
                if connection.outbox and connection.in_memory > HIGH_WATER:
                    break
                data = self._read(upstream)
                if not data:
                    break
                moved += len(data)
                connection.send(data)
            else:
                self.router.reactor.look_again(self)
        except ClientGone:
            self._client_gone = True
        return moved

    def _read(self, upstream: Upstream) -> bytes:
        """What the server has sent; nothing when it has not, or has ended."""
        try:
            data = os.read(upstream.fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            self._server_ended = self._server_deaf = True
            self._server_error = error
            return b""
        if not data:
            self._server_ended = True
            return b""
        if not self._is_answered:
            self._is_answered = True
            self.router.note_answer(data)
        upstream.backend.received += len(data)
        return data

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self.router.is_raw:
            self._settle_raw()
        elif self._client_gone:
            self._client_left()
        elif self._server_ended and not self._is_answered:
            self._without_answer()
        elif self._server_ended and self._is_broken:
            self._cut("the server's connection broke inside its answer")
        elif self._server_ended:
            self._leave_server()
            self._end()
            self.router.reactor.release(self.connection)

    @property
    def _is_broken(self) -> bool:
        """Whether the server's connection broke. One that is closed before all of the request was taken breaks, too:
        that is how a server refuses the rest."""
        upstream = self.upstream
        return not self._is_refused and self._server_error is not None and not (upstream and upstream.outbox)

    def _settle_raw(self) -> None:
        connection, upstream = self.connection, self.upstream
        assert upstream is not None
        if self._server_ended and not connection.outbox and "client" not in self._shut:
            self._shut.add("client")
            if self._server_error is None:
                try:
                    connection.shut_down()
                except OSError:
                    self._client_gone = True
        is_server_done = self._server_deaf or (self._client_ended and not upstream.outbox)
        if self._client_gone and (self._client_ended or self._server_deaf) and is_server_done:
            upstream.prepare_reset()
            self._close()
        elif self._server_ended and not connection.outbox and is_server_done:
            if self._server_error is not None:
                connection.prepare_reset()
            self._close()

    def _without_answer(self) -> None:
        """The server has closed its connection before it said anything."""
        upstream, error = self.upstream, self._server_error
        assert upstream is not None
        self._leave_server()
        if not self._is_forwarded and error is not None:
            self._server_ended = self._server_deaf = self._is_refused = False
            self._server_error = None
            self._shut.clear()
            self.router.dispatcher.unreachable(self, upstream.backend, error)
            return
        upstream.backend.failures += 1
        reason = "closed its connection without an answer" if error is None else f"left: {error.strerror}"
        self.fail(ProtocolError(502, f"the server {reason}"), backend=upstream.backend)

    def _cut(self, reason: str) -> None:
        """The client must not take what it got for a whole answer."""
        upstream = self.upstream
        if upstream is not None:
            upstream.backend.failures += 1
        self.router.complain(self, upstream.backend if upstream else None, reason)
        self.connection.prepare_reset()
        self._close()

    def _client_left(self) -> None:
        self.router.lost_clients += 1
        self._close()

    def _close(self) -> None:
        """Both connections end now."""
        self.router.dispatcher.withdraw(self)
        self._leave_server()
        self._end()
        self.router.reactor.abort(self.connection)

    def _end(self) -> None:
        self.is_over = True
        self.router.reactor.exchanges.pop(self.connection.fd, None)

    def fail(self, error: ProtocolError, *, backend: Backend | None = None, retry_after: int = 0) -> None:  # noqa: ARG002
        """See `Passage`. A rawrouter's client finds its connection reset: nobody knows what it would understand."""
        router, connection = self.router, self.connection
        router.complain(self, backend, f"{error.status}: {error.detail}")
        router.statuses[error.status // 100] += 1
        self._end()
        if router.is_raw:
            connection.prepare_reset()
            router.reactor.abort(connection)
            return
        try:
            connection.send(router.failure(error))
        except ClientGone:
            router.reactor.abort(connection)
            return
        router.reactor.release(connection)

    def failed(self, error: Exception) -> None:
        """See `Passage`."""
        text = "".join(traceback.format_exception(error))
        self.router.complain(self, None, f"the router failed:\n{text}")
        if not self.is_over:
            self._close()

    # -- the client, the clock, the end of the router ------------------------------------------------------------------

    def client_event(self, mask: int) -> None:
        """See `Passage`."""
        if self.upstream is not None and not self.upstream.is_connecting:
            self._pump()
        elif not self.router.is_raw and mask & (EPOLLHUP | EPOLLERR):
            self._client_left()
        # Else it is found out once there is a server: a rawrouter's client may have left after it has said something.

    def too_late(self) -> None:
        """See `Passage`."""
        router, upstream = self.router, self.upstream
        if upstream is None:
            router.dispatcher.withdraw(self)
            self.fail(ProtocolError(503, "no server had time for the request"))
        elif upstream.is_connecting:
            self._not_connected(OSError(ETIMEDOUT, os.strerror(ETIMEDOUT)))
        elif router.is_raw:
            self._close()
        elif self._is_answered:
            self._cut(f"no byte was moved for {router.timeout:g} s")
        else:
            upstream.backend.failures += 1
            self._leave_server()
            self.fail(ProtocolError(504, f"no answer within {router.timeout:g} s"), backend=upstream.backend)

    def router_leaves(self) -> None:
        """See `Passage`. A question is answered; other connections end once nothing is said any more."""
        self.deadline = min(self.deadline, self.router.reactor.now + self.router.patience)
