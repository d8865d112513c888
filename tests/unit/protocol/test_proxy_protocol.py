"""Headers of the PROXY protocol: whole, byte by byte, with trailing data, and what only looks like one."""

from __future__ import annotations

import random
import struct
from ipaddress import ip_network
from typing import Any

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.forwarded import Forwarded, Trust
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.protocol.messages import Environ, Introduced
from uwsgi_deploy.protocol.proxy_protocol import SIGNATURE, Introduction, parse_header

PROXY, STRANGER = ("10.0.0.1", 4000), ("203.0.113.66", 4000)
BASE = {"SCRIPT_NAME": "", "REMOTE_ADDR": None, "REMOTE_PORT": None, "wsgi.url_scheme": "http", "SERVER_PORT": "8000"}
REQUEST = b"GET /p HTTP/1.1\r\nHost: inside\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
V4 = bytes([198, 51, 100, 7, 192, 0, 2, 1]) + struct.pack(">HH", 4711, 443)
V6 = bytes.fromhex("20010db8000000000000000000000007" + "20010db8000000000000000000000001") + V4[8:]


def binary(command: int, family: int, block: bytes, *, version: int = 2, length: int | None = None) -> bytes:
    return (
        SIGNATURE
        + struct.pack(">BBH", version << 4 | command, family, len(block) if length is None else length)
        + block
    )


GOOD = {
    "v1 IPv4": (b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n", ("198.51.100.7", "4711", "192.0.2.1", "443")),
    "v1 IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", ("2001:db8::7", "4711", "2001:db8::1", "443")),
    "v1 mapped": (b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:1.2.3.5 0 65535\r\n", ("1.2.3.4", "0", "1.2.3.5", "65535")),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown with a rest": (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    "v2 IPv4": (binary(1, 0x11, V4), ("198.51.100.7", "4711", "192.0.2.1", "443")),
    "v2 IPv6": (binary(1, 0x21, V6), ("2001:db8::7", "4711", "2001:db8::1", "443")),
    "v2 with TLVs": (
        binary(1, 0x11, V4 + b"\x04\x00\x03\0\0\0" + b"x" * 3000),
        ("198.51.100.7", "4711", "192.0.2.1", "443"),
    ),
    "v2 Unix": (binary(1, 0x31, b"/run/a.sock".ljust(216, b"\0")), ("", "", "", "")),
    "v2 local": (binary(0, 0, b""), None),
    "v2 local with addresses": (binary(0, 0x11, V4), None),
    "v2 unspecified": (binary(1, 0, b"whatever"), None),
}

BAD = {
    "no header": b"GET / HTTP/1.1\r\n",
    "one letter": b"X",
    "lower case": b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "two blanks": b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "blank at the end": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
    "line feed only": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
    "UDP": b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "port out of range": b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
    "port with zeros": b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
    "port with a sign": b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
    "address with zeros": b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
    "short address": b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
    "name": b"PROXY TCP4 localhost 2.2.2.2 1 2\r\n",
    "IPv6 as TCP4": b"PROXY TCP4 ::1 ::2 1 2\r\n",
    "IPv4 as TCP6": b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
    "mixed families": b"PROXY TCP6 ::1 2.2.2.2 1 2\r\n",
    "no ports": b"PROXY TCP4 1.1.1.1 2.2.2.2\r\n",
    "too long": b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    "endless": b"PROXY TCP4 " + b"1" * 200,
    "v2 of version 1": binary(1, 0x11, V4, version=1),
    "v2 of version 3": binary(1, 0x11, V4, version=3),
    "v2 unknown command": binary(2, 0x11, V4),
    "v2 datagrams": binary(1, 0x12, V4),
    "v2 unknown family": binary(1, 0x41, V6),
    "v2 too short for IPv4": binary(1, 0x11, V4[:-1]),
    "v2 too short for IPv6": binary(1, 0x21, V4),
    "v2 too short for Unix": binary(1, 0x31, b"/run"),
    "v2 broken signature": SIGNATURE[:-1] + b"\r" + b"\x21\x11\0\x0c" + V4,
}


@pytest.mark.parametrize("name", GOOD)
def test_header_is_read(name: str) -> None:
    data, sender = GOOD[name]
    for rest in (b"", REQUEST, b"\r\n"):
        header = parse_header(data + rest)
        assert header is not None
        assert (header.size, header.sender) == (len(data), sender)


@pytest.mark.parametrize("name", GOOD)
def test_header_byte_by_byte(name: str) -> None:
    data, _ = GOOD[name]
    assert all(parse_header(data[:size]) is None for size in range(1, len(data)))


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_header(BAD[name])
    assert refused.value.status == 400


@pytest.mark.parametrize("name", BAD)
def test_refused_byte_by_byte_as_whole(name: str) -> None:
    def outcome(data: bytes) -> bool:
        """Whether this much is still a header to be."""
        try:
            return parse_header(data) is None
        except ProtocolError:
            return False

    outcomes = [outcome(BAD[name][:size]) for size in range(1, len(BAD[name]) + 1)]
    assert not outcomes[-1]
    assert outcomes == sorted(outcomes, reverse=True)  # refused once, refused for good


def test_random_bytes_never_do_more_than_be_refused() -> None:
    chance = random.Random(2)
    refusals = 0
    for _ in range(5000):
        good = bytearray(chance.choice(list(GOOD.values()))[0])
        for _ in range(chance.randrange(1, 4)):
            good[chance.randrange(len(good))] = chance.randrange(256)
        try:
            header = parse_header(bytes(good))
        except ProtocolError:
            refusals += 1
        else:
            assert header is None or header.size <= len(good)
    assert refusals > 1000


# -- connections -------------------------------------------------------------------------------------------------------


def meet(data: bytes, *, peer: Any = PROXY, trust: Trust | None = None) -> tuple[tuple[str, str] | None, Environ]:
    """Address and environ of the first request behind a header."""
    http = Http1Codec(BASE, max_head=65536, max_line=8000, max_fields=100)
    trust = trust or Trust((ip_network("10.0.0.0/8"),), unix=False, anyone=False)
    rules = Forwarded(trust, ("x-forwarded-for", "x-forwarded-proto"))
    with pytest.raises(Introduced) as introduced:
        Introduction(rules).wrap(http, peer).decode(data + REQUEST)
    head = introduced.value.codec.decode((data + REQUEST)[introduced.value.consumed :])
    assert head is not None
    return introduced.value.address, head[0]


def test_client_is_introduced_and_its_own_headers_do_not_count() -> None:
    address, environ = meet(GOOD["v2 IPv4"][0])
    assert address == ("198.51.100.7", "4711")
    assert (environ["SERVER_ADDR"], environ["SERVER_PORT"]) == ("192.0.2.1", "443")
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["REMOTE_ADDR"] is None  # the connection's, which is the client's now


def test_client_that_is_a_trusted_proxy_is_believed() -> None:
    _, environ = meet(b"PROXY TCP4 10.9.9.9 192.0.2.1 4711 443\r\n")
    assert environ["REMOTE_ADDR"] == "9.9.9.9"


def test_anyone_does_not_mean_the_clients_of_a_proxy() -> None:
    _, environ = meet(GOOD["v1 IPv4"][0], trust=Trust((), unix=False, anyone=True))
    assert environ["REMOTE_ADDR"] is None


def test_the_proxy_speaks_for_itself() -> None:
    address, environ = meet(GOOD["v2 local"][0])
    assert address is None
    assert environ["SERVER_PORT"] == "8000"
    assert environ["REMOTE_ADDR"] == "9.9.9.9"


def test_a_stranger_cannot_introduce_anybody() -> None:
    http = Http1Codec(BASE, max_head=65536, max_line=8000, max_fields=100)
    rules = Forwarded(Trust((ip_network("10.0.0.0/8"),), unix=False, anyone=False), ())
    with pytest.raises(ProtocolError) as refused:
        Introduction(rules).wrap(http, STRANGER).decode(GOOD["v1 IPv4"][0] + REQUEST)
    assert refused.value.status == 403
