"""How requests come in: the reading half of the reactor, from the first byte of a head to a complete request.

`net.reactor.Reactor` is the only thing that is made of it; what happens to connections otherwise is there.
"""

from __future__ import annotations

from collections import deque
from select import EPOLLIN

from uwsgi_deploy.errors import Aside, ClientGone, ProtocolError
from uwsgi_deploy.net.body import IncomingBody, too_large
from uwsgi_deploy.net.connection import Connection, Limits, State
from uwsgi_deploy.protocol.messages import UPGRADE, Introduced
from uwsgi_deploy.protocol.responses import CONTINUE

_READ_SIZE = 16384
_READS_IN_A_ROW = 16

HEAD, BODY, BUSY, SENDING, LINGERING, CLOSED = State


class Receiving:
    """See the module. A base class, since it costs a request nothing; the attributes are those of the reactor."""

    ready: deque[Connection]
    now: float
    _limits: Limits
    _returned: deque[Connection]

    def _read_head(self, connection: Connection) -> None:
        """Read what has come. More than one read is needed only when the first fills its buffer."""
        while True:
            try:
                data = connection.read(connection.fd, _READ_SIZE)
            except BlockingIOError:
                connection.readable = False
                return
            except OSError:
                self._close(connection)
                return
            connection.readable = len(data) == _READ_SIZE
            if not data:
                self._input_ended(connection)
                return
            self._head(connection, connection.inbox + data if connection.inbox else data)
            if connection.state is not HEAD or not (connection.readable or connection.eof):
                return

    def _head(self, connection: Connection, data: bytes) -> None:
        """Use what was read: dispatch the request, begin its body, or wait for more."""
        try:
            head = connection.codec.decode(data)
            if head is None:
                if not connection.inbox:  # the clock of a head starts with its first byte and is never set back
                    connection.deadline = self.now + self._limits.header_timeout
                connection.inbox = data
                return
            environ, consumed, body, connection.keep_alive, connection.facts = head
            connection.environ = environ
            connection.inbox = data[consumed:] if consumed < len(data) else b""
            if body:
                self._begin_body(connection, body)
            else:
                connection.deadline, connection.state = self.now, BUSY
                self.ready.append(connection)
        except Introduced as client:
            self._head(connection, connection.introduce(client, data))
        except Aside as aside:
            if connection.answer_aside(aside):
                self._return(connection)
            else:
                self._start_lingering(connection)
        except ProtocolError as error:
            self.refuse(connection, error)
        except ClientGone:
            self._close(connection)

    def _begin_body(self, connection: Connection, length: int) -> None:
        limits = self._limits
        if not limits.post_buffering or length == UPGRADE:
            if limits.limit_post and length > limits.limit_post:
                raise too_large(limits.limit_post)
            connection.live_length = length
            connection.deadline, connection.state = self.now, BUSY
            self.ready.append(connection)
            return
        decoder = connection.body_decoder(length)
        incoming = IncomingBody(length, decoder, in_memory=limits.post_buffering, limit=limits.limit_post)
        connection.incoming = incoming
        connection.state = BODY
        connection.deadline, connection.body_since = self.now + limits.body_timeout, self.now
        data, connection.inbox = connection.inbox, b""
        if data:
            self._body(connection, data)
        elif connection.facts and connection.facts.expects_continue:
            connection.send(CONTINUE)
        if connection.state is BODY and (connection.readable or connection.eof):
            self._read_body(connection)

    def _read_body(self, connection: Connection) -> None:
        incoming = connection.incoming
        assert incoming is not None
        try:
            for _ in range(_READS_IN_A_ROW):
                wanted = incoming.wanted
                data = connection.read(connection.fd, wanted)
                if not data:
                    self._input_ended(connection)
                    return
                connection.readable = len(data) == wanted
                connection.deadline = self.now + self._limits.body_timeout
                self._body(connection, data)
                if connection.state is not BODY or not (connection.readable or connection.eof):
                    return
            self._returned.append(connection)  # a fast sender: the others first
        except BlockingIOError:
            connection.readable = False
        except ProtocolError as error:
            self.refuse(connection, error)
        except OSError:
            self._close(connection)

    def _body(self, connection: Connection, data: bytes) -> None:
        incoming = connection.incoming
        assert incoming is not None
        try:
            rest = incoming.feed(data)
        except OSError as error:  # the temporary file: the disk is full, not the client wrong
            raise ProtocolError(500, f"the request body cannot be stored: {error.strerror}") from error
        if rest is None:
            return
        connection.inbox = rest
        connection.body = incoming.finish()
        connection.incoming = None
        environ = connection.environ
        assert environ is not None
        if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
            # The body was decoded; frameworks that do not know `wsgi.input_terminated` find its length here.
            environ["CONTENT_LENGTH"] = str(incoming.size)
        connection.deadline, connection.state = self.now, BUSY
        self.ready.append(connection)

    def _peer_left(self, connection: Connection, mask: int) -> None:
        """The client closed at least its sending side. What it sent before still counts."""
        connection.eof = True
        if mask & EPOLLIN:
            self._read_head(connection)  # to the end of input, which it also finds out
        else:
            self._close(connection)

    def _input_ended(self, connection: Connection) -> None:
        """End of input before a whole request."""
        connection.eof = True
        connection.readable = False
        if connection.state is BODY or connection.inbox:
            self.refuse(connection, ProtocolError(400, "the connection ended inside the request"))
        else:
            if connection.has_farewell:
                connection.farewell()
            self._close(connection)

    # -- the reactor's -------------------------------------------------------------------------------------------------

    def refuse(self, connection: Connection, error: ProtocolError) -> None:
        """Answer a request that cannot be served, and end the connection."""
        raise NotImplementedError

    def _return(self, connection: Connection) -> None:
        raise NotImplementedError

    def _start_lingering(self, connection: Connection) -> None:
        raise NotImplementedError

    def _close(self, connection: Connection) -> None:
        raise NotImplementedError
