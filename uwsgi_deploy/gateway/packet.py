"""Requests as the variables that servers are told: blocks of a uwsgi packet, made once for what clients repeat.

`RouterCodec` reads a request head as workers do and keeps, next to its variables, the block of those that hold for
every request with the same header fields. What differs is added per request (`Packer.blocks`): the request line, the
client's address, the length of the body. All of these are remembered as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.http1 import HeaderBlock, Http1Codec
from uwsgi_deploy.protocol.messages import UPGRADE, Environ

# Where the codec leaves the block of the header fields, and how many variables the request has then: a codec around it
# may add some (those of a client's certificate), and the block is no good any more.
PACKED = "gateway.packed"
LARGEST_PACKET = 0xFFFF

_REMEMBERED = 1024
_LONGEST_REMEMBERED = 512

# RFC 9110 §7.6.1: what is about the client's connection is not for the server behind. Expect and the transfer coding
# are dealt with here, too.
_HOP_BY_HOP = frozenset(
    {
        "HTTP_CONNECTION",
        "HTTP_KEEP_ALIVE",
        "HTTP_PROXY_CONNECTION",
        "HTTP_TE",
        "HTTP_TRAILER",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
        "HTTP_EXPECT",
    }
)
# What a client cannot have removed by naming it in its Connection field: they are for the server behind, or a proxy in
# front vouches for them.
_END_TO_END = frozenset(
    {
        "HTTP_HOST",
        "HTTP_AUTHORIZATION",
        "HTTP_COOKIE",
        "HTTP_FORWARDED",
        "HTTP_ORIGIN",
        "HTTP_REFERER",
        "HTTP_VIA",
        "HTTP_CONTENT_ENCODING",
        "HTTP_CONTENT_RANGE",
    }
)
# In a block of their own.
_LINE = ("REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "HTTP_HOST")
_CLIENT = ("REMOTE_ADDR", "REMOTE_PORT", "CONTENT_LENGTH")
_ELSEWHERE = frozenset({*_LINE, *_CLIENT, "SERVER_NAME"})


class RouterCodec(Http1Codec):
    """Request heads of the router's clients.

    packs: whether the variables are final, so that their block can be made here; not where a codec around this one
    works out who the client is. extra: variables that no client can replace (http-var). most_expected: 413 for a larger
    body whose client waits for 100-continue; 0: no limit. upgrades: whether connections may switch protocols.
    """

    __slots__ = ("_extra", "_most_expected", "_packs", "_upgrades")

    def __init__(
        self,
        base: Environ,
        *,
        packs: bool,
        extra: dict[str, str],
        most_expected: int = 0,
        upgrades: bool = True,
        **limits: int,
    ) -> None:
        super().__init__(base, **limits)
        self._packs, self._extra = packs, extra
        self._most_expected, self._upgrades = most_expected, upgrades

    def _parse_block(self, block: bytes) -> HeaderBlock:
        parsed = super()._parse_block(block)
        if parsed.body == UPGRADE and not self._upgrades:
            parsed = parsed._replace(body=0)
        if self._most_expected and parsed.facts_11.expects_continue and parsed.body > self._most_expected:
            raise ProtocolError(
                413, f"the request body is larger than {self._most_expected} bytes (http-manage-expect)"
            )
        variables = parsed.variables
        variables.update(self._extra)
        if self._packs:
            block = pack(end_to_end(variables, is_upgrade=parsed.body == UPGRADE), _ELSEWHERE)
            variables[PACKED] = block, len(variables) + 1
        return parsed


class Packer:
    """Makes the blocks of requests. as_host: SERVER_NAME is the Host field's (http-server-name-as-http-host)."""

    __slots__ = ("_as_host", "_clients", "_lines")

    def __init__(self, *, as_host: bool) -> None:
        self._as_host = as_host
        self._lines: dict[tuple[str | None, ...], bytes] = {}
        self._clients: dict[tuple[str | None, ...], bytes] = {}

    def blocks(self, environ: Environ, *, is_upgrade: bool) -> tuple[bytes, bytes, bytes]:
        """Header fields and what is the same for all; the request line; the client and its body. REMOTE_ADDR is set."""
        get = environ.get
        packed = get(PACKED)
        if packed is not None and packed[1] == len(environ):
            fields = packed[0]
        else:
            fields = pack(end_to_end(environ, is_upgrade=is_upgrade), _ELSEWHERE)
        line_key = (
            environ["REQUEST_METHOD"],
            environ["REQUEST_URI"],
            environ["PATH_INFO"],
            environ["SERVER_PROTOCOL"],
            environ["SERVER_NAME"],
            get("HTTP_HOST"),
        )
        line = self._lines.get(line_key)
        if line is None:
            line = _remember(self._lines, line_key, self._line(environ))
        client_key = (environ["REMOTE_ADDR"], environ["REMOTE_PORT"], get("CONTENT_LENGTH"))
        client = self._clients.get(client_key)
        if client is None:
            client = _remember(self._clients, client_key, pack_these(environ, _CLIENT))
        return fields, line, client

    def _line(self, environ: Environ) -> bytes:
        host = environ.get("HTTP_HOST")
        name = host_name(host) if self._as_host and host else environ["SERVER_NAME"]
        return pack_these(environ, _LINE) + pack({"SERVER_NAME": name})


def _remember(memory: dict[tuple[str | None, ...], bytes], key: tuple[str | None, ...], block: bytes) -> bytes:
    if len(block) <= _LONGEST_REMEMBERED:
        if len(memory) >= _REMEMBERED:
            memory.clear()
        memory[key] = block
    return block


def host_name(host: str) -> str:
    """The name in a Host field, without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and not port.endswith("]") else host


def end_to_end(variables: Environ, *, is_upgrade: bool) -> dict[str, str]:
    """The variables that are for the server behind."""
    connection = variables.get("HTTP_CONNECTION", "")
    named = {"HTTP_" + option.strip().upper().replace("-", "_") for option in connection.split(",")} - _END_TO_END
    found = {
        name: value
        for name, value in variables.items()
        if type(value) is str
        and name not in _HOP_BY_HOP
        and "." not in name
        and (name not in named or name.startswith("HTTP_X_FORWARDED"))
    }
    if is_upgrade:
        found["HTTP_CONNECTION"] = "Upgrade"
        found["HTTP_UPGRADE"] = variables["HTTP_UPGRADE"]
    if variables.get("wsgi.url_scheme") == "https":
        found["HTTPS"] = "on"
    return found


def pack(variables: dict[str, str], without: frozenset[str] = frozenset()) -> bytes:
    """The variables as a uwsgi packet has them. Raises ProtocolError(431) for one that does not fit."""
    return b"".join([_pair(name, value) for name, value in variables.items() if name not in without])


def pack_these(environ: Environ, names: Sequence[str]) -> bytes:
    """Of the environ these variables, if they are there."""
    return b"".join([_pair(name, value) for name in names if (value := environ.get(name)) is not None])


def _pair(name: str, value: Any) -> bytes:
    key, text = name.encode("latin-1"), str(value).encode("latin-1", "replace")
    if len(text) > LARGEST_PACKET:
        raise ProtocolError(431, f"{name} is longer than the {LARGEST_PACKET} bytes that a uwsgi packet has for it")
    return len(key).to_bytes(2, "little") + key + len(text).to_bytes(2, "little") + text


def uwsgi_packet(fields: bytes, line: bytes, client: bytes, *, modifier1: int = 0, modifier2: int = 0) -> bytes:
    """The head of one request as a uwsgi packet. Raises ProtocolError(431) when it does not fit."""
    size = len(fields) + len(line) + len(client)
    if size > LARGEST_PACKET:
        raise ProtocolError(431, f"the request's variables have {size} bytes, a uwsgi packet holds {LARGEST_PACKET}")
    return b"".join((bytes((modifier1, size & 0xFF, size >> 8, modifier2)), fields, line, client))
