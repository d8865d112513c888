"""Whom a TLS client asks for: hellos of Python's own client, whole, in pieces, in several records, and broken."""

from __future__ import annotations

import random
import ssl

import pytest

from uwsgi_deploy.protocol.client_hello import server_name


def hello(host: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first message of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_name(version: ssl.TLSVersion) -> None:
    assert server_name(hello("WWW.Example.com", version)) == "www.example.com"
    assert server_name(hello(None, version)) == ""
    assert server_name(hello("bücher.example", version)) == "xn--bcher-kva.example"


def test_every_beginning_is_incomplete() -> None:
    data = hello("www.example.com")
    for size in range(len(data)):
        assert server_name(data[:size]) is None, size
    assert server_name(data + b"more") == "www.example.com"


def test_message_in_several_records() -> None:
    data = hello("www.example.com")
    message = data[5:]
    for width in (20, 50, 300):
        pieces = [message[at : at + width] for at in range(0, len(message), width)]
        records = b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
        assert server_name(records) == "www.example.com"
        assert server_name(records[:-1]) is None
    dust = b"".join(b"\x16\x03\x01\x00\x01" + bytes((byte,)) for byte in message)
    assert server_name(dust) == ""


def test_nonsense_has_no_name() -> None:
    """Never an exception, whatever comes: what is wrong is for the TLS library to say."""
    chance = random.Random(5)
    good = hello("www.example.com")
    assert server_name(b"GET / HTTP/1.1\r\n") == ""
    assert server_name(b"\x16\x03\x01\x00\x00more") == ""
    assert server_name(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff") == ""
    for _ in range(3000):
        broken = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        name = server_name(bytes(broken))
        assert name is None or isinstance(name, str)
