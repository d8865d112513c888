"""WebSocket frames and messages, against the examples of RFC 6455 and against peers that break its rules."""

from __future__ import annotations

import pytest

from uwsgi_deploy.protocol.websocket import (
    BrokenFrame,
    CloseCode,
    Messages,
    Opcode,
    accept_key,
    close_payload,
    decode,
    encode,
    mask,
)

KEY = bytes.fromhex("37fa213d")
MASKED_HELLO = bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455 §5.7


def framed(first: int, payload: bytes) -> bytes:
    """A client's frame with this first byte."""
    size = len(payload)
    if size <= 125:
        length = bytes((0x80 | size,))
    elif size <= 0xFFFF:
        length = bytes((0xFE,)) + size.to_bytes(2, "big")
    else:
        length = bytes((0xFF,)) + size.to_bytes(8, "big")
    return bytes((first,)) + length + KEY + mask(payload, KEY)


def read(data: bytes, *, limit: int = 1 << 20, step: int = 1 << 20) -> list[tuple[Opcode, bytes]]:
    """What `Messages` makes of these bytes, fed in pieces."""
    messages, found = Messages(limit), []
    for start in range(0, len(data), step):
        messages.feed(data[start : start + step])
        while (one := messages.next()) is not None:
            found.append(one)
    return found


def test_accept_key() -> None:
    """The example of RFC 6455 §1.3."""
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "short", "dGhlIHNhbXBsZQ==", "ünïcode", "dGhlIHNhbXBsZSBub25jZQ==\r\nX: y"])
def test_no_key(key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - binascii's texts are its own
        accept_key(key)


def test_example_of_the_standard() -> None:
    assert decode(MASKED_HELLO, limit=10) == ((Opcode.TEXT, b"Hello", True), len(MASKED_HELLO))
    assert encode(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_001])
def test_every_length(size: int) -> None:
    """Each of the three ways to write a length, both directions; the same byte by byte, where that is quick."""
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    frame = framed(0x82, payload)
    assert read(frame) == [(Opcode.BINARY, payload)]
    if size < 1000:
        assert read(frame, step=1) == [(Opcode.BINARY, payload)]
    sent = encode(Opcode.BINARY, payload)
    assert sent.endswith(payload)
    assert len(sent) - size == (2 if size <= 125 else 4 if size <= 65535 else 10)


def test_message_in_pieces_with_a_ping_between() -> None:
    data = framed(0x01, "grü".encode()[:3]) + framed(0x89, b"?") + framed(0x80, "grü".encode()[3:]) + framed(0x82, b"x")
    expected = [(Opcode.PING, b"?"), (Opcode.TEXT, "grü".encode()), (Opcode.BINARY, b"x")]
    assert read(data) == expected
    assert read(data, step=1) == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", CloseCode.PROTOCOL_ERROR),  # not masked
        (framed(0xC1, b"x"), CloseCode.PROTOCOL_ERROR),  # an extension's bit
        (framed(0x83, b"x"), CloseCode.PROTOCOL_ERROR),  # no such kind
        (framed(0x09, b"x"), CloseCode.PROTOCOL_ERROR),  # a ping in pieces
        (framed(0x89, b"x" * 126), CloseCode.PROTOCOL_ERROR),  # a long ping
        (framed(0x80, b"x"), CloseCode.PROTOCOL_ERROR),  # the rest of nothing
        (framed(0x01, b"x") + framed(0x81, b"y"), CloseCode.PROTOCOL_ERROR),  # a message inside another
        (framed(0x81, b"\xff\xfe"), CloseCode.INVALID_TEXT),
        (framed(0x82, b"x" * 101)[:8], CloseCode.TOO_BIG),  # known from its head
        (framed(0x02, b"x" * 60) + framed(0x80, b"x" * 60), CloseCode.TOO_BIG),
    ],
)
def test_broken(data: bytes, code: CloseCode) -> None:
    with pytest.raises(BrokenFrame) as error:
        read(data, limit=100)
    assert error.value.code is code


def test_close_payload() -> None:
    """A control frame has at most 125 bytes, and no half characters."""
    assert close_payload(1000) == b"\x03\xe8"
    payload = close_payload(1011, "ü" * 100)
    assert len(payload) <= 125
    assert payload[2:].decode() == "ü" * 61
