"""A connection of a web server that speaks FastCGI: responses as STDOUT records, and an end for each of them.

Whoever writes the response writes it as HTTP has it, see `net.cgi_connection`. That it is over is known when its
connection is given back to the reactor (`end_responses`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.errors import ClientGone, ProtocolError
from uwsgi_deploy.net.cgi_connection import CgiConnection
from uwsgi_deploy.net.connection import Connection, FileSlice
from uwsgi_deploy.protocol.fastcgi import (
    ANY_REQUEST,
    CUT_MARK,
    MOST_CONTENT,
    STDOUT,
    FastCgiFacts,
    RefusedRequest,
    StdinDecoder,
    as_it_is,
    encode_header,
    encode_stream,
    end_of_response,
    whole_response,
)

if TYPE_CHECKING:
    from uwsgi_deploy.net.reactor import Reactor


class RecordSlice(FileSlice):
    """A part of a file, sent as STDOUT records."""

    __slots__ = ("_header", "_record", "_request_id")

    def __init__(self, whole: FileSlice, request_id: int) -> None:
        super().__init__(whole.fd, whole.offset, whole.left)
        self._request_id = request_id
        self._header = b""
        self._record = 0

    def send_to(self, fd: int) -> int:
        """See `FileSlice.send_to`: the next header, or some of the content behind it."""
        if not self._record:
            self._record = min(self.left, MOST_CONTENT)
            self._header = encode_header(STDOUT, self._request_id, self._record)
        if self._header:
            sent = os.write(fd, self._header)
            self._header = self._header[sent:]
            return sent
        sent = os.sendfile(fd, self.fd, self.offset, self._record)
        if not sent:
            raise ClientGone("a file became shorter while it was sent")
        self.offset += sent
        self.left -= sent
        self._record -= sent
        return sent


class FastCgiConnection(CgiConnection):
    """See the module. As many requests as the web server sends, one after the other."""

    __slots__ = ("_decoder", "_is_cut", "_refused")

    has_ends = True
    cut_mark = CUT_MARK

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._decoder: StdinDecoder | None = None
        self._refused = 0
        self._is_cut = False

    @property
    def _request_id(self) -> int:
        facts = self.facts
        return self._refused or (facts.request_id if isinstance(facts, FastCgiFacts) else ANY_REQUEST)

    def send(self, data: bytes) -> None:
        """See `Connection.send`."""
        Connection.send(self, encode_stream(STDOUT, self._request_id, self._translate(data)))

    def send_two(self, head: bytes, body: bytes) -> None:
        """See `Connection.send_two`."""
        self.send(head + body)

    def send_file(self, piece: FileSlice) -> None:
        """See `Connection.send_file`."""
        super().send_file(RecordSlice(piece, self._request_id))

    def whole(self, response: bytes) -> bytes:
        """See `Connection.whole`."""
        return whole_response(response, self._request_id)

    def refuse(self, response: bytes, error: ProtocolError) -> bool:
        """See `Connection.refuse`."""
        if isinstance(error, RefusedRequest):
            self._refused = error.request_id
        if not super().refuse(response, error):
            return False
        try:
            self.end_response()
        except ClientGone:
            return False
        return True

    def body_decoder(self, _length: int) -> StdinDecoder:
        """See `Connection.body_decoder`."""
        facts = self.facts
        assert isinstance(facts, FastCgiFacts)
        decoder = self._decoder = StdinDecoder(facts.request_id, facts.expected)
        return decoder

    def cut(self) -> bool:
        """See `Connection.cut`. nginx looks for no END_REQUEST, and a Unix socket knows no reset, but this is seen."""
        super().cut()
        try:
            Connection.send(self, CUT_MARK)
        except ClientGone:
            return False
        self._is_cut = True
        return bool(self.outbox)

    def end_response(self) -> bool:
        """Send the end of a response; whether the web server may send another request. Raises ClientGone."""
        if self._is_cut:
            return False
        replies = b"" if self._decoder is None else self._decoder.replies
        Connection.send(self, end_of_response(self._request_id) + replies)
        self._begun, self._decoder = False, None
        # A body that was not read to its end would be taken for the next request.
        return isinstance(self.facts, FastCgiFacts) and self.facts.keep and not self.live_length


class FastCgiNphConnection(FastCgiConnection):
    """One whose web server wants the status line of HTTP ("non-parsed headers")."""

    __slots__ = ()

    def whole(self, response: bytes) -> bytes:
        """See `Connection.whole`."""
        return whole_response(response, self._request_id, translate=as_it_is)

    def _translate(self, data: bytes) -> bytes:
        return data


def end_responses(reactor: Reactor, *, keeps_alive: bool) -> None:
    """Let the reactor end the response of each FastCGI connection that it is given back.

    keeps_alive: whether connections are kept for another request at all.
    """
    release = reactor.release

    def end_and_release(connection: Connection) -> None:
        if isinstance(connection, FastCgiConnection):
            try:
                connection.keep_alive = connection.end_response() and keeps_alive and not reactor.draining
            except ClientGone:
                reactor.abort(connection)
                return
        release(connection)

    reactor.release = end_and_release  # type: ignore[method-assign]
