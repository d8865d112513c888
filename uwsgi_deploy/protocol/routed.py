"""What the http router says to the workers of its own server, on a Unix socket that nobody else knows.

A frame is a header, three blocks of variables as uwsgi packets have them, and the request body. What repeats stands in
blocks of its own, so that neither side works it out twice: a client's header fields, its request line, its address.
The answer is HTTP/1.1, and the connection is kept: an answer of unknown length comes in chunks, because on a Unix
socket the end of a process that died looks like any other end.

header: magic (2 bytes), modifier1 (u8), modifier2 (u8), sizes of the three blocks (u32 each, little endian). A worker
opens each connection with `GREETING`: its process, by which the router tells connections of idle workers from others.
"""

from __future__ import annotations

from struct import Struct
from sys import intern
from typing import Any, NamedTuple

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.http1 import LENGTH
from uwsgi_deploy.protocol.memo import Memo
from uwsgi_deploy.protocol.messages import UPGRADE, Environ, Facts, RequestHead
from uwsgi_deploy.protocol.uwsgi import REQUIRED, decode_variables, modifier_error, scheme_of

MAGIC = b"\x7fR"
HEADER = Struct("<2sBBIII")
GREETING = Struct("<I")

_WSGI, _WSGI_CUT_SCRIPT_NAME = 0, 30
# Variables of the request line and of the client, for the log.
_OTHER_VARIABLES = 8


class _Fields(NamedTuple):
    """The first block: the environ with it, and what it means."""

    environ: Environ
    is_upgrade: bool
    facts: Facts


class RoutedCodec:
    """Request heads of the private listener. `base` is copied into each environ first.

    max_head: bytes of a head as the client may send it; as variables it is longer, which is no reason to refuse it.
    """

    __slots__ = ("_base", "_clients", "_fields", "_lines", "_most")

    def __init__(self, base: Environ, *, max_head: int) -> None:
        self._base: dict[str, Any] = {**base, **REQUIRED}
        self._most = 4 * max_head + 65536
        self._fields = Memo(self._parse_fields, capacity=64, longest=4096)
        self._lines = Memo(_parse, capacity=512, longest=512)
        self._clients = Memo(_parse, capacity=512, longest=256)

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        if len(data) < HEADER.size:
            if not data.startswith(MAGIC[: len(data)]):
                raise _stranger()
            return None
        magic, modifier1, _, fields_size, line_size, client_size = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise _stranger()
        line_at = HEADER.size + fields_size
        client_at = line_at + line_size
        end = client_at + client_size
        if end > self._most:
            raise ProtocolError(431, f"a routed request of {end} bytes, larger than {self._most} (buffer-size)")
        if len(data) < end:
            return None
        variables, is_upgrade, facts = self._fields[data[HEADER.size : line_at]]
        environ = variables.copy()
        environ.update(self._lines[data[line_at:client_at]])
        environ.update(self._clients[data[client_at:end]])
        body = 0
        if (length := environ.get("CONTENT_LENGTH")) is not None:
            if not LENGTH.fullmatch(length):
                raise ProtocolError(400, "an invalid Content-Length")
            body = int(length)
        elif is_upgrade and environ["SERVER_PROTOCOL"] != "HTTP/1.0":  # RFC 9110 §7.8
            body = UPGRADE
        if modifier1:
            if modifier1 != _WSGI_CUT_SCRIPT_NAME:
                raise modifier_error(modifier1)
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(environ["SCRIPT_NAME"])
        return environ, end, body, True, facts

    def _parse_fields(self, block: bytes) -> _Fields:
        fields = _parse(block)
        environ = {**self._base, **fields}
        environ["wsgi.url_scheme"] = scheme_of(environ)
        # Over this connection any answer may be chunked, whatever the client understands: the router sees to that.
        facts = Facts(False, True, True, len(fields) + _OTHER_VARIABLES, len(block))
        return _Fields(environ, "HTTP_UPGRADE" in fields, facts)


def routed_frame(fields: bytes, line: bytes, client: bytes, *, modifier1: int = _WSGI, modifier2: int = 0) -> bytes:
    """The head of one request: blocks of variables with what repeats for a client, for a URL, for a connection."""
    header = HEADER.pack(MAGIC, modifier1, modifier2, len(fields), len(line), len(client))
    return b"".join((header, fields, line, client))


def _parse(block: bytes) -> dict[str, str]:
    # Interned: an application's `environ["HTTP_HOST"]` finds the very same string and has nothing to compare.
    return {intern(name): value for name, value in decode_variables(block).items()}


def _stranger() -> ProtocolError:
    return ProtocolError(400, "not the router's protocol, which alone is spoken on this socket")
