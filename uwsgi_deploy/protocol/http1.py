"""HTTP/1.1 and 1.0 request heads (RFC 9112): strict, because what two parsers read differently is an attack.

Decoding is remembered at three levels, each a pure function of bytes: the request line, the block of header fields,
and the single header line. Requests that repeat any of them are not parsed again.
"""

from __future__ import annotations

import re
from sys import intern
from typing import Any, NamedTuple

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.memo import Memo
from uwsgi_deploy.protocol.messages import CHUNKED, UPGRADE, Environ, Facts, RequestHead, packed_size

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/(\d)\.(\d)")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)
# Leading and trailing white space is not part of a value; control characters never are (RFC 9110 §5.5).
_FIELD = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]*)(?::[0-9]*)?")
LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")

# Names that never become variables: CGI programs take HTTP_PROXY for a setting of their own ("httpoxy").
_DROPPED = frozenset({b"proxy"})
_UNPREFIXED = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_JOINED_WITH = {"HTTP_COOKIE": "; "}  # RFC 9113 §8.2.3; every other list is joined with a comma (RFC 9110 §5.3)

_KEEP_ALIVE_DEFAULTS = (True, False)
# REQUEST_METHOD, REQUEST_URI, … which a uwsgi packet would carry beside the header fields.
_REQUEST_VARIABLES = 9

END_OF_HEAD = b"\r\n\r\n"


class RequestLine(NamedTuple):
    """Method and target as CGI variables; `host` overrides the Host field (absolute form, RFC 9112 §3.2.2)."""

    method: str
    uri: str
    path: str
    query: str
    protocol: str
    is_11: bool
    host: str | None


class HeaderBlock(NamedTuple):
    """All header fields of a request. `variables` holds the codec's base too and is copied for each request."""

    variables: Environ
    has_host: bool
    body: int
    keep_alive_11: bool
    keep_alive_10: bool
    facts_11: Facts
    facts_10: Facts


class Http1Codec:
    """Request heads of one listener. `base` is copied into each environ before the request's own variables."""

    __slots__ = ("_base", "_blocks", "_fields", "_lines", "_max_fields", "_max_head", "_max_line")

    def __init__(self, base: Environ, *, max_head: int, max_line: int, max_fields: int) -> None:
        # Placeholders give the copied dict its final size, so that filling it in never has to grow it.
        own = ("REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL")
        self._base: dict[str, Any] = {**base, **dict.fromkeys(own, "")}
        self._max_head, self._max_line, self._max_fields = max_head, min(max_line, max_head), max_fields
        self._lines = Memo(parse_request_line, capacity=512, longest=256)
        self._fields = Memo(parse_field, capacity=1024, longest=512)
        self._blocks = Memo(self._parse_block, capacity=64, longest=2048)

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        end = data.find(END_OF_HEAD)
        if end < 0 or end > self._max_head:
            self._check_unfinished(data, end)
            return None
        end_of_line = data.find(b"\r\n")
        if end_of_line > self._max_line:
            raise ProtocolError(414, "the request line is too long")
        if not end_of_line:  # RFC 9112 §2.2: an empty line before the request line is skipped
            return self._after_empty_lines(data)
        line = self._lines[data[:end_of_line]]
        block = self._blocks[data[end_of_line + 2 : end]]
        environ = block.variables.copy()
        environ["REQUEST_METHOD"] = line.method
        environ["REQUEST_URI"] = line.uri
        environ["PATH_INFO"] = line.path
        environ["QUERY_STRING"] = line.query
        environ["SERVER_PROTOCOL"] = line.protocol
        if line.host is not None:
            environ["HTTP_HOST"] = line.host
        if line.is_11:
            if not block.has_host:
                raise ProtocolError(400, "an HTTP/1.1 request needs a Host field")
            return environ, end + 4, block.body, block.keep_alive_11, block.facts_11
        body = block.body
        if body < 0:
            if body == CHUNKED:  # RFC 9112 §6.1: from HTTP/1.0 it must be treated as faulty framing
                raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request")
            body = 0  # RFC 9110 §7.8: an Upgrade field in an HTTP/1.0 request is ignored
        return environ, end + 4, body, block.keep_alive_10, block.facts_10

    def _check_unfinished(self, data: bytes, end: int) -> None:
        """Refuse a head that is incomplete or too large as soon as it cannot become a good one."""
        if _BARE_LINE_FEED.search(data):
            raise ProtocolError(400, "a line that ends with a bare line feed")
        # What is there may end with a piece of a line end, or of the head's end, that is not counted.
        if end < 0 and len(data) < self._max_line + 2:
            return
        if b"\r\n" not in data[: self._max_line + 2]:
            raise ProtocolError(414, "the request line is too long")
        if end > 0 or len(data) >= self._max_head + len(END_OF_HEAD):
            raise ProtocolError(431, f"the request head is larger than {self._max_head} bytes (buffer-size)")

    def _after_empty_lines(self, data: bytes) -> RequestHead | None:
        skipped = 0
        while data.startswith(b"\r\n", skipped):
            skipped += 2
            if skipped > 8:
                raise ProtocolError(400, "empty lines before the request line")
        head = self.decode(data[skipped:])
        if head is None:
            return None
        environ, consumed, body, keep_alive, facts = head
        return environ, consumed + skipped, body, keep_alive, facts

    def _parse_block(self, block: bytes) -> HeaderBlock:
        lines = block.split(b"\r\n") if block else []
        if len(lines) > self._max_fields:
            raise ProtocolError(431, f"more than {self._max_fields} header fields (max-request-headers)")
        fields: dict[str, str] = {}
        for line in lines:
            name, value = self._fields[line]
            if not name:
                continue
            if name in fields:
                value = fields[name] + _JOINED_WITH.get(name, ", ") + value
            fields[name] = value
        host = fields.get("HTTP_HOST")
        if host is not None and not _HOST.fullmatch(host):
            raise ProtocolError(400, "an invalid or repeated Host field")
        expectation = fields.get("HTTP_EXPECT")
        if expectation is not None and expectation.lower() != "100-continue":
            raise ProtocolError(417, "an unknown expectation")
        keep_alive_11, keep_alive_10 = _KEEP_ALIVE_DEFAULTS
        if (connection := fields.get("HTTP_CONNECTION")) is not None:
            keep_alive_11, keep_alive_10 = _keep_alive(connection)
        variables, size = len(fields) + _REQUEST_VARIABLES, packed_size(fields)
        return HeaderBlock(
            variables={**self._base, **fields},
            has_host=host is not None,
            body=body_length(fields),
            keep_alive_11=keep_alive_11,
            keep_alive_10=keep_alive_10,
            facts_11=Facts(expectation is not None, True, True, variables, size),
            facts_10=Facts(False, False, True, variables, size),
        )


def _keep_alive(connection: str) -> tuple[bool, bool]:
    """What a Connection field means for HTTP/1.1 and for 1.0 (RFC 9112 §9.3)."""
    options = {option.strip() for option in connection.lower().split(",")}
    return "close" not in options, "keep-alive" in options and "close" not in options


def parse_request_line(line: bytes) -> RequestLine:
    """The request line without its line end (RFC 9112 §3)."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "a malformed request line")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise ProtocolError(505, "an HTTP version that is not 1.x")
    if method == b"CONNECT":
        raise ProtocolError(501, "CONNECT: this is not a proxy")
    local, host = target, None
    if absolute := _ABSOLUTE.fullmatch(target):
        host, local = absolute[1].decode("latin-1"), absolute[2] or b"/"
        if not host or not _HOST.fullmatch(host):
            raise ProtocolError(400, "an invalid host in the request target")
        if local.startswith(b"?"):
            local = b"/" + local
    elif not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        raise ProtocolError(400, "a request target that is neither a path nor a URL")
    path, _, query = local.partition(b"?")
    return RequestLine(
        method=method.decode("ascii"),
        uri=target.decode("latin-1"),
        path=(unquote(path) if b"%" in path else path).decode("latin-1"),
        query=query.decode("latin-1"),
        # RFC 9110 §6.2: a higher minor version is read as the highest one known.
        protocol="HTTP/1.0" if minor == b"0" else "HTTP/1.1",
        is_11=minor != b"0",
        host=host,
    )


def is_host(text: str) -> bool:
    """Whether this is a host, perhaps with a port, as the Host field has it (RFC 9110 §7.2)."""
    return bool(text) and text[0] != ":" and _HOST.fullmatch(text) is not None


def unquote(path: bytes) -> bytes:
    """Percent-decode (RFC 3986 §2.1); what is no escape stays. urllib's would cost every process its modules."""
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), path)


def parse_field(line: bytes) -> tuple[str, str]:
    """CGI name and value of one header line; the name is empty for a field that is dropped.

    A name with an underscore is dropped: as a variable it could not be told from the name with a dash, which a proxy
    in front may have set and vouches for.
    """
    match = _FIELD.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "a malformed header field")
    name, value = match[1].lower(), match[2].decode("latin-1")
    if b"_" in name or name in _DROPPED:
        return "", ""
    # Interned: an application's `environ["HTTP_HOST"]` finds the very same string and has nothing to compare.
    return _UNPREFIXED.get(name) or intern("HTTP_" + name.decode("ascii").upper().replace("-", "_")), value


def body_length(fields: dict[str, str]) -> int:
    """Length of the request body, CHUNKED or UPGRADE (RFC 9112 §6.3). Anything ambiguous is refused."""
    length, coding = fields.get("CONTENT_LENGTH"), fields.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if length is not None:  # an attack, not a mistake
            raise ProtocolError(400, "both Content-Length and Transfer-Encoding")
        if coding.lower() != "chunked":
            raise ProtocolError(501, "a transfer coding other than chunked")
        return CHUNKED
    if length is None:
        return UPGRADE if "HTTP_UPGRADE" in fields and wants_upgrade(fields) else 0
    if not LENGTH.fullmatch(length):
        raise ProtocolError(400, "an invalid Content-Length")
    return int(length)


def wants_upgrade(fields: dict[str, str]) -> bool:
    """Whether the application may want to go on in another protocol on this connection (RFC 9110 §7.8).

    HTTP/2 is none of them: clients that offer it (h2c) mean the server, and expect an ordinary answer from this one.
    """
    return "upgrade" in fields.get("HTTP_CONNECTION", "").lower() and fields["HTTP_UPGRADE"].lower() != "h2c"
