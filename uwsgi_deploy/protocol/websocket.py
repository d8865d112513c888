"""WebSocket frames (RFC 6455): a server's side of them, as pure functions of bytes. No extensions, no sockets.

Loaded with the first WebSocket that an application opens through the `uwsgi` module.
"""

from __future__ import annotations

import base64
import hashlib
from enum import IntEnum
from typing import NamedTuple

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_KEY_BYTES = 16
_LONGEST_CONTROL = 125


class Opcode(IntEnum):
    """What a frame is (RFC 6455 §5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a conversation ends (RFC 6455 §7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    TOO_BIG = 1009
    SERVER_ERROR = 1011


class Frame(NamedTuple):
    """One frame, unmasked."""

    opcode: Opcode
    payload: bytes
    final: bool


class BrokenFrame(Exception):
    """The peer broke the protocol or a limit: the conversation ends with `code`."""

    def __init__(self, code: CloseCode, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(detail)


def accept_key(key: str) -> str:
    """The value of Sec-WebSocket-Accept for a client's Sec-WebSocket-Key. Raises ValueError when that is no key."""
    if len(base64.b64decode(key, validate=True)) != _KEY_BYTES:
        raise ValueError("a Sec-WebSocket-Key has 16 bytes")
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """One unmasked, final frame."""
    size = len(payload)
    if size <= 125:
        return bytes((0x80 | opcode, size)) + payload
    if size <= 0xFFFF:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame carries; the reason is cut to what fits."""
    return code.to_bytes(2, "big") + reason.encode("utf-8")[: _LONGEST_CONTROL - 2].decode("utf-8", "ignore").encode()


def decode(data: bytes, *, limit: int) -> tuple[Frame, int] | None:
    """The client's frame at the start of `data` and how many bytes it takes, or None while it is incomplete.

    limit: most bytes of a payload. Raises BrokenFrame as soon as the frame cannot become a good one.
    """
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    opcode = _opcode(first)
    if not second & 0x80:
        raise BrokenFrame(CloseCode.PROTOCOL_ERROR, "a client's frame that is not masked")
    size, at = second & 0x7F, 2
    if opcode >= Opcode.CLOSE and (size > _LONGEST_CONTROL or not first & 0x80):
        raise BrokenFrame(CloseCode.PROTOCOL_ERROR, "a control frame that is long or in pieces")
    if size > _LONGEST_CONTROL:
        width = 2 if size == 126 else 8
        if len(data) < at + width:
            return None
        size, at = int.from_bytes(data[at : at + width], "big"), at + width
    if size > limit:
        raise BrokenFrame(CloseCode.TOO_BIG, f"a frame of {size} bytes, the limit is {limit} (websockets-max-size)")
    end = at + 4 + size
    if len(data) < end:
        return None
    return Frame(opcode, mask(data[at + 4 : end], data[at : at + 4]), bool(first & 0x80)), end


def _opcode(first: int) -> Opcode:
    if first & 0x70:
        raise BrokenFrame(CloseCode.PROTOCOL_ERROR, "reserved bits are set, and no extension was agreed upon")
    try:
        return Opcode(first & 0x0F)
    except ValueError:
        raise BrokenFrame(CloseCode.PROTOCOL_ERROR, f"an unknown kind of frame ({first & 0x0F})") from None


def mask(data: bytes, key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 §5.3): the same operation. As one large number: a loop takes 50 times as long."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class Messages:
    """Puts messages together from the bytes of a conversation.

    `feed` it what came; `next` gives what is complete: (TEXT or BINARY, message), or a control frame's
    (opcode, payload).
    """

    __slots__ = ("_data", "_kind", "_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = b""
        self._kind: Opcode | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Bytes that came."""
        self._data = self._data + data if self._data else data

    def next(self) -> tuple[Opcode, bytes] | None:
        """The next message or control frame; None when more bytes are needed. Raises BrokenFrame."""
        while True:
            found = decode(self._data, limit=self._limit - self._size)
            if found is None:
                return None
            frame, consumed = found
            self._data = self._data[consumed:]
            if frame.opcode >= Opcode.CLOSE:
                return frame.opcode, frame.payload
            if (message := self._piece(frame)) is not None:
                return message

    def _piece(self, frame: Frame) -> tuple[Opcode, bytes] | None:
        if (frame.opcode is Opcode.CONTINUATION) is (self._kind is None):
            raise BrokenFrame(CloseCode.PROTOCOL_ERROR, "a message inside another one, or the rest of none")
        if self._kind is None:
            self._kind = frame.opcode
        self._pieces.append(frame.payload)
        self._size += len(frame.payload)
        if not frame.final:
            return None
        kind, message = self._kind, b"".join(self._pieces)
        self._kind, self._pieces, self._size = None, [], 0
        if kind is Opcode.TEXT:
            try:
                message.decode("utf-8")
            except UnicodeDecodeError:
                raise BrokenFrame(CloseCode.INVALID_TEXT, "a text message that is not UTF-8") from None
        return kind, message
