"""FastCGI records, as nginx's `fastcgi_pass` and Apache's `mod_proxy_fcgi` send them (the FastCGI Specification 1.0).

header: version, type, request id (u16), content length (u16), padding length, reserved; big endian. A request is
BEGIN_REQUEST, PARAMS up to an empty one, STDIN up to an empty one; its response STDOUT up to an empty one and
END_REQUEST. One request runs on a connection at a time: another that begins meanwhile is answered CANT_MPX_CONN.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from uwsgi_deploy.errors import Aside, ProtocolError
from uwsgi_deploy.protocol.cgi import as_cgi, content_length, environ_of
from uwsgi_deploy.protocol.messages import RECORDS, Environ, Facts, RequestHead, packed_size

(
    BEGIN_REQUEST,
    ABORT_REQUEST,
    END_REQUEST,
    PARAMS,
    STDIN,
    STDOUT,
    STDERR,
    DATA,
    GET_VALUES,
    GET_VALUES_RESULT,
    UNKNOWN_TYPE,
) = range(1, 12)
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)
RESPONDER = 1
KEEP_CONN = 1

# The request that is meant where none has been named: all web servers number so.
ANY_REQUEST = 1
MOST_CONTENT = 65528  # a multiple of eight, as the specification advises
HEADER_SIZE = 8
_VERSION = 1
_HEADER = Struct(">BBHHBx")
_BEGIN_BODY = Struct(">HB5x")
_END_BODY = Struct(">IB3x")
# Web servers need one record for a few dozen variables; whoever sends one for each byte wants to keep somebody busy.
_MOST_RECORDS = 256
_MOST_REPLIES = 4096


class FastCgiFacts(Facts):
    """What is known of a request beside its environ. expected: bytes of its body, -1 when that is not known.

    keep: the web server keeps the connection for another request.
    """

    request_id = ANY_REQUEST
    expected = -1
    keep = False


class RefusedRequest(ProtocolError):
    """A ProtocolError about a request whose number is known."""

    def __init__(self, request_id: int, status: int, detail: str) -> None:
        self.request_id = request_id
        super().__init__(status, detail)


class Record(NamedTuple):
    """A whole record; `end` is where the next one begins."""

    kind: int
    request_id: int
    content: bytes
    end: int


class FastCgiCodec:
    """Request heads of one FastCGI listener. `base` is copied into each environ first; max_head: bytes of PARAMS."""

    __slots__ = ("_base", "_max_head")

    def __init__(self, base: Environ, *, max_head: int) -> None:
        self._base, self._max_head = base, max_head

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. Raises Aside for records that are to be answered, or left out, before there is a head."""
        at = 0
        for _ in range(_MOST_RECORDS):
            record = read_record(data, at)
            if record is None:
                break
            if record.kind == BEGIN_REQUEST:
                return self._begun(data, at, record)
            reply = management_reply(record)
            if reply:
                raise Aside(reply, data[record.end :], goes_on=True)
            at = record.end  # of a request that is over, or was never taken
        if at:
            raise Aside(b"", data[at:], goes_on=True)
        return None

    def _begun(self, data: bytes, start: int, begin: Record) -> RequestHead | None:
        number = begin.request_id
        if len(begin.content) != _BEGIN_BODY.size or not number:
            raise ProtocolError(400, "a malformed FastCGI BEGIN_REQUEST")
        role, flags = _BEGIN_BODY.unpack(begin.content)
        keep = bool(flags & KEEP_CONN)
        if role != RESPONDER:
            raise Aside(end_request(number, UNKNOWN_ROLE), data[begin.end :], goes_on=keep)
        block: list[bytes] = []
        size, at = 0, begin.end
        for _ in range(_MOST_RECORDS):
            self._check_size(data, at, number, size)
            record = read_record(data, at)
            if record is None:
                return None
            if record.request_id != number:
                raise Aside(foreign_reply(record), data[start:at] + data[record.end :], goes_on=True)
            if record.kind == ABORT_REQUEST:
                raise Aside(end_request(number, REQUEST_COMPLETE), data[record.end :], goes_on=keep)
            if record.kind != PARAMS:
                raise RefusedRequest(number, 400, f"a FastCGI record of type {record.kind} before the end of PARAMS")
            if not record.content:
                return self._head(number, b"".join(block), data, record.end, keep=keep)
            block.append(record.content)
            size += len(record.content)
            at = record.end
        raise RefusedRequest(number, 431, f"a FastCGI head of more than {_MOST_RECORDS} records")

    def _check_size(self, data: bytes, at: int, number: int, size: int) -> None:
        """Refuse a head as soon as the record that makes it too large is announced."""
        check_version(data, at)
        if len(data) - at < HEADER_SIZE:
            return
        _, kind, owner, length, _ = _HEADER.unpack_from(data, at)
        size += length
        if kind != PARAMS or owner != number:
            return
        if size > self._max_head:
            raise RefusedRequest(
                number, 431, f"a FastCGI head of {size} bytes, larger than {self._max_head} (buffer-size)"
            )

    def _head(self, number: int, block: bytes, data: bytes, at: int, *, keep: bool) -> RequestHead:
        try:
            variables = decode_variables(block)
            length = variables.get("CONTENT_LENGTH", "")
            expected = content_length(length) if length else -1
        except ProtocolError as error:
            raise RefusedRequest(number, error.status, error.detail) from None
        facts = FastCgiFacts(
            expects_continue=False,
            chunking=False,
            is_http=False,
            variables=len(variables),
            size=packed_size(variables),
        )
        facts.request_id, facts.expected, facts.keep = number, expected, keep
        environ = environ_of(self._base, variables)
        # Records are the framing; nginx passes what its client said about chunks all the same.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        body = RECORDS
        if expected <= 0 and data[at : at + HEADER_SIZE] == encode_record(STDIN, number):
            at, body = at + HEADER_SIZE, 0
        elif expected < 0:
            # What the reactor and the application take for a body whose length only its end tells.
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        return environ, at, body, False, facts


class StdinDecoder:
    """Takes the records of a request's body as they come and gives its content, like `framing.ChunkedDecoder`.

    expected: bytes that CONTENT_LENGTH has announced, or -1. replies: records for the web server, to be sent when the
    response is.
    """

    __slots__ = (
        "_ending",
        "_expected",
        "_left",
        "_number",
        "_padding",
        "_pending",
        "_size",
        "_takes",
        "done",
        "replies",
    )

    def __init__(self, number: int, expected: int) -> None:
        self._number, self._expected = number, expected
        self._pending = b""
        self._left = self._padding = self._size = 0
        self._takes = self._ending = self.done = False
        self.replies = b""

    @property
    def rest(self) -> bytes:
        """Bytes after the body, once it is done."""
        return self._pending

    def feed(self, data: bytes) -> list[bytes]:
        """Content that `data` has. Raises RefusedRequest(400) on a lie, and when the web server gives up."""
        data = self._pending + data if self._pending else data
        found: list[bytes] = []
        at = 0
        while not self.done:
            if self._left or self._padding:
                at += self._pass(data, at, found)
                if self._left or self._padding:
                    break
            elif self._ending:
                self._end()
            else:
                end = self._header(data, at)
                if end == at:
                    break
                at = end
        self._pending = data[at:]
        return found

    def _pass(self, data: bytes, at: int, found: list[bytes]) -> int:
        """Take or drop what there is of the current record's content, then of its padding; how many bytes."""
        content = data[at : at + self._left]
        self._left -= len(content)
        if content and self._takes:
            found.append(content)
            self._size += len(content)
            if 0 <= self._expected < self._size:
                raise self._lie("more")
        if self._left:
            return len(content)
        padding = min(self._padding, len(data) - at - len(content))
        self._padding -= padding
        return len(content) + padding

    def _header(self, data: bytes, at: int) -> int:
        """Begin with the record at `at`; where its content begins, or `at` while too little of it is there."""
        check_version(data, at)
        if len(data) - at < HEADER_SIZE:
            return at
        _, kind, number, length, padding = _HEADER.unpack_from(data, at)
        self._takes = number == self._number and kind == STDIN
        if number != self._number:
            if kind in (BEGIN_REQUEST, GET_VALUES) or not number:
                record = read_record(data, at)
                if record is None:
                    return at
                self.replies += foreign_reply(record)
                if len(self.replies) > _MOST_REPLIES:
                    raise RefusedRequest(self._number, 400, "too many FastCGI records about something else in a body")
                return record.end
        elif kind == ABORT_REQUEST:
            raise RefusedRequest(self._number, 400, "the web server gave the request up")
        elif kind in (BEGIN_REQUEST, PARAMS):
            raise RefusedRequest(self._number, 400, f"a FastCGI record of type {kind} inside a request body")
        self._ending = self._takes and not length
        self._left, self._padding = length, padding
        return at + HEADER_SIZE

    def _end(self) -> None:
        if self._size < self._expected:
            raise self._lie("fewer")
        self.done = True

    def _lie(self, what: str) -> RefusedRequest:
        return RefusedRequest(self._number, 400, f"{what} bytes of STDIN than CONTENT_LENGTH ({self._expected}) says")


# --- reading ----------------------------------------------------------------------------------------------------------


def check_version(data: bytes, at: int) -> None:
    """Raises ProtocolError(400) for what cannot be the beginning of a record."""
    if len(data) > at and data[at] != _VERSION:
        if data[:4].rstrip().isalpha():
            raise ProtocolError(400, "an HTTP request on a FastCGI socket (use http-socket for HTTP clients)")
        raise ProtocolError(400, "what is no FastCGI record of version 1")


def read_record(data: bytes, at: int) -> Record | None:
    """The record at `at`, None while it is incomplete. Raises ProtocolError(400)."""
    check_version(data, at)
    start = at + HEADER_SIZE
    if len(data) < start:
        return None
    _, kind, number, length, padding = _HEADER.unpack_from(data, at)
    end = start + length + padding
    return Record(kind, number, data[start : start + length], end) if len(data) >= end else None


def management_reply(record: Record) -> bytes:
    """The answer to a record that is about no request (id 0), b"" to any other."""
    if record.request_id:
        return b""
    if record.kind != GET_VALUES:
        return encode_record(UNKNOWN_TYPE, 0, bytes((record.kind,)).ljust(8, b"\0"))
    asked = decode_variables(record.content)
    known = {"FCGI_MPXS_CONNS": "0"}
    return encode_record(GET_VALUES_RESULT, 0, encode_variables({name: known[name] for name in asked if name in known}))


def foreign_reply(record: Record) -> bytes:
    """The answer to a record that does not belong to the request that this connection serves."""
    if record.request_id and record.kind == BEGIN_REQUEST:
        return end_request(record.request_id, CANT_MPX_CONN)
    return management_reply(record)


def decode_variables(block: bytes) -> dict[str, str]:
    """Names and values (specification, §3.4); the last of equal names wins. Raises ProtocolError(400)."""
    variables: dict[str, str] = {}
    text = block.decode("latin-1")
    at, end = 0, len(block)
    while at < end:
        name_length, at = _length(block, at)
        value_length, at = _length(block, at)
        middle = at + name_length
        if middle + value_length > end or not name_length:
            raise ProtocolError(400, "FastCGI PARAMS with a lying length, or an empty name")
        name, value = text[at:middle], text[middle : middle + value_length]
        if name == "CONTENT_LENGTH" and variables.get(name, value) != value:
            raise ProtocolError(400, "two different CONTENT_LENGTH")
        variables[name] = value
        at = middle + value_length
    return variables


def _length(block: bytes, at: int) -> tuple[int, int]:
    """A length of one byte, or of four whose highest bit is set; and where what follows it begins."""
    if at < len(block) and block[at] < 0x80:
        return block[at], at + 1
    if at + 4 > len(block):
        raise ProtocolError(400, "FastCGI PARAMS cut inside a length")
    return int.from_bytes(block[at : at + 4], "big") & 0x7FFFFFFF, at + 4


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_header(kind: int, number: int, length: int) -> bytes:
    """The header of a record of so many bytes, at most 65,535, without padding."""
    return _HEADER.pack(_VERSION, kind, number, length, 0)


def encode_record(kind: int, number: int, content: bytes = b"") -> bytes:
    """One record, without padding; at most 65,535 bytes of content."""
    return encode_header(kind, number, len(content)) + content


def encode_stream(kind: int, number: int, data: bytes) -> bytes:
    """As many records as `data` needs, without the empty one that ends a stream."""
    if len(data) <= MOST_CONTENT:
        return encode_record(kind, number, data) if data else b""
    pieces = (data[at : at + MOST_CONTENT] for at in range(0, len(data), MOST_CONTENT))
    return b"".join([encode_record(kind, number, piece) for piece in pieces])


def encode_variables(variables: dict[str, str]) -> bytes:
    """The content of PARAMS and GET_VALUES records."""
    parts = []
    for pair in variables.items():
        name, value = (text.encode("latin-1") for text in pair)
        for length in (len(name), len(value)):
            parts.append(bytes((length,)) if length < 0x80 else (length | 1 << 31).to_bytes(4, "big"))
        parts += (name, value)
    return b"".join(parts)


def encode_request(
    variables: dict[str, str],
    body: bytes = b"",
    *,
    number: int = ANY_REQUEST,
    keep: bool = False,
    role: int = RESPONDER,
) -> bytes:
    """A whole request."""
    return b"".join(
        (
            encode_record(BEGIN_REQUEST, number, _BEGIN_BODY.pack(role, KEEP_CONN if keep else 0)),
            encode_stream(PARAMS, number, encode_variables(variables)),
            encode_record(PARAMS, number),
            encode_stream(STDIN, number, body),
            encode_record(STDIN, number),
        )
    )


CUT_MARK = encode_record(UNKNOWN_TYPE, 0, bytes(8))
"""Behind a response that ends before it is whole. A record that is allowed here, and is no end (specification, §4.2):
nginx, which takes the end of a connection for the end of a response, takes this for a broken one."""


def end_request(number: int, protocol_status: int) -> bytes:
    """END_REQUEST: the request is over, or was refused (specification, §5.5)."""
    return encode_record(END_REQUEST, number, _END_BODY.pack(0, protocol_status))


def end_of_response(number: int) -> bytes:
    """What follows the last byte of a response."""
    return encode_record(STDOUT, number) + end_request(number, REQUEST_COMPLETE)


def as_it_is(response: bytes) -> bytes:
    """A response for a web server that wants the status line of HTTP."""
    return response


def whole_response(
    response: bytes, number: int = ANY_REQUEST, *, translate: Callable[[bytes], bytes] = as_cgi
) -> bytes:
    """A whole HTTP response as records."""
    return encode_stream(STDOUT, number, translate(response)) + end_of_response(number)


def whole_nph_response(response: bytes) -> bytes:
    """The same with the status line of HTTP."""
    return whole_response(response, translate=as_it_is)
