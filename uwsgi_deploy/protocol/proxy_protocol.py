"""The PROXY protocol, versions 1 and 2: what a load balancer says of its client before the client's first byte.

A codec for the first bytes of a connection. When it has read the header it raises `Introduced`, and the connection goes
on with the codec behind it; until then nothing is served. A listener either gets the header on every connection or on
none (the specification's section 2 forbids guessing): whoever comes without it is refused, and so is whoever is not
trusted. Strict, because a header that two parsers read differently is an attack. Loaded only with
enable-proxy-protocol.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.forwarded import Forwarded, ForwardedCodec, peer_of
from uwsgi_deploy.protocol.messages import Codec, Introduced, RequestHead

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1 = b"PROXY "
# Section 2.1: the longest line of version 1, with its line end.
_LONGEST_LINE = 107
_PORT = rb"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) " + _PORT + b" " + _PORT, re.ASCII)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?")

_HEADER_SIZE = 16
_VERSION_2 = 2
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES_SIZE = {_TCP4: 12, _TCP6: 36, _UNIX: 216}


class Sender(NamedTuple):
    """A client and where it connected to, as its proxy has it; texts, "" where a Unix socket has none."""

    address: str
    port: str
    server: str
    server_port: str


class Header(NamedTuple):
    """size: bytes of the whole header. sender: None when the connection is the proxy's own, or it does not know."""

    size: int
    sender: Sender | None


def parse_header(data: bytes) -> Header | None:
    """The header at the start of `data`, None while it is incomplete. Raises ProtocolError for anything else."""
    if data.startswith(SIGNATURE[: len(data)]):
        return _parse_binary(data)
    if data.startswith(_V1[: len(data)]):
        return _parse_line(data)
    raise ProtocolError(400, "no PROXY protocol header, which this address needs (enable-proxy-protocol)")


def _parse_line(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _LONGEST_LINE)
    if end < 0:
        if len(data) >= _LONGEST_LINE or b"\n" in data:
            raise _malformed()
        return None
    line, size = data[:end], end + 2
    if _UNKNOWN.fullmatch(line):
        return Header(size, None)
    match = _LINE.fullmatch(line)
    if match is None:
        raise _malformed()
    version, *addresses, port, server_port = (group.decode("ascii") for group in match.groups())
    try:
        client, server = (ip_address(address) for address in addresses)
    except ValueError:
        raise _malformed() from None
    if {client.version, server.version} != {int(version)} or max(int(port), int(server_port)) > 65535:
        raise _malformed()
    return Header(size, Sender(_text(client), port, _text(server), server_port))


def _parse_binary(data: bytes) -> Header | None:
    if len(data) < _HEADER_SIZE:
        return None
    version, command, family = data[12] >> 4, data[12] & 15, data[13]
    size = _HEADER_SIZE + int.from_bytes(data[14:16], "big")
    if version != _VERSION_2 or command not in (_LOCAL, _PROXY):
        raise _malformed()
    known = _ADDRESSES_SIZE.get(family)
    if command == _PROXY and family != _UNSPECIFIED and (known is None or size < _HEADER_SIZE + known):
        raise _malformed()
    if len(data) < size:
        return None
    if command == _LOCAL or known is None:
        return Header(size, None)
    # What follows the addresses (type, length, value) is skipped.
    return Header(size, _binary_sender(family, data[_HEADER_SIZE : _HEADER_SIZE + known]))


def _binary_sender(family: int, block: bytes) -> Sender:
    if family == _UNIX:
        return Sender("", "", "", "")
    half = 4 if family == _TCP4 else 16
    make = IPv4Address if family == _TCP4 else IPv6Address
    client, server = make(block[:half]), make(block[half : 2 * half])
    ports = (int.from_bytes(block[at : at + 2], "big") for at in (2 * half, 2 * half + 2))
    port, server_port = (str(port) for port in ports)
    return Sender(_text(client), port, _text(server), server_port)


def _text(address: IPv4Address | IPv6Address) -> str:
    """An IPv4 address that came as IPv6 is shown as IPv4, as elsewhere."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _malformed() -> ProtocolError:
    return ProtocolError(400, "a malformed PROXY protocol header")


class Introduction:
    """The rules of a listener. `wrap` makes the codec of one connection."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Forwarded) -> None:
        self._rules = rules

    def wrap(self, codec: Codec, address: Any) -> Codec:
        """A codec for one connection, whose peer's address is as accept(2) gives it."""
        return ProxyProtocolCodec(codec, self._rules, peer_of(address))


class ProxyProtocolCodec:
    """See the module. Reads the header only: it never returns a request."""

    __slots__ = ("_codec", "_is_trusted", "_rules")

    # It reads what comes before the client's own first byte, also before a TLS handshake.
    introduces = True

    def __init__(self, codec: Codec, rules: Forwarded, peer: str) -> None:
        self._codec, self._rules = codec, rules
        self._is_trusted = rules.trust.includes_peer(peer)

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. Raises Introduced after the header, ProtocolError for all that is none."""
        if not self._is_trusted:
            raise ProtocolError(403, "a peer that is not in trusted-proxies, where the PROXY protocol is spoken")
        header = parse_header(data)
        if header is None:
            return None
        sender, rules = header.sender, self._rules
        if sender is None:
            raise Introduced(header.size, ForwardedCodec(self._codec, rules, is_trusted=True), None)
        # Behind the header the client speaks, perhaps another proxy: its headers count only if its address is trusted.
        codec = _ArrivedCodec(self._codec, sender) if sender.server else self._codec
        behind = ForwardedCodec(codec, rules, is_trusted=rules.trust.includes(sender.address))
        raise Introduced(header.size, behind, (sender.address, sender.port))


class _ArrivedCodec:
    """Requests of a client of which it is known where it connected to."""

    __slots__ = ("_codec", "_port", "_server")

    def __init__(self, codec: Codec, sender: Sender) -> None:
        self._codec, self._server, self._port = codec, sender.server, sender.server_port

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        head = self._codec.decode(data)
        if head is not None:
            environ = head[0]
            environ["SERVER_ADDR"], environ["SERVER_PORT"] = self._server, self._port
        return head
