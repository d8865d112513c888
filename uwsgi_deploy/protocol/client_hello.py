"""The host that a TLS client asks for, from its first message (RFC 8446 §4.1.2, RFC 6066 §3), before it is answered.

All that is shown depends on it, and whether the client needs a certificate of its own, which OpenSSL's callback for the
name comes too late for. Pure, and generous: what is wrong with the message is for the TLS library to say.
"""

from __future__ import annotations

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME, _HOST_NAME = 0, 0
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
# Version and random.
_FIXED = 34
_LONGEST = 1 << 15
# It is looked at again with each packet: one that is cut to dust would cost more than it costs its sender.
_MOST_RECORDS = 64


def server_name(data: bytes) -> str | None:
    """The host in lower case, "" when the client names none. None: the message is not complete yet."""
    message = b""
    at = 0
    for _ in range(_MOST_RECORDS):
        if len(data) < at + _RECORD_HEADER:
            return None
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] != _HANDSHAKE or not size:
            return ""
        start = at + _RECORD_HEADER
        message += data[start : start + size]
        if len(message) >= _MESSAGE_HEADER:
            wanted = _MESSAGE_HEADER + int.from_bytes(message[1:4], "big")
            if message[0] != _CLIENT_HELLO or wanted > _LONGEST:
                return ""
            if len(message) >= wanted:
                return _name_in(message[_MESSAGE_HEADER:wanted])
        if len(data) < start + size:
            return None
        at = start + size
    return ""


def _name_in(hello: bytes) -> str:
    at = _FIXED
    for width in (1, 2, 1):  # session, cipher suites, compression methods
        at += width + int.from_bytes(hello[at : at + width], "big")
    at += 2  # the length of all extensions
    while at + 4 <= len(hello):
        kind, size = int.from_bytes(hello[at : at + 2], "big"), int.from_bytes(hello[at + 2 : at + 4], "big")
        at += 4
        if kind == _SERVER_NAME:
            return _first_host(hello[at : at + size])
        at += size
    return ""


def _first_host(extension: bytes) -> str:
    size = int.from_bytes(extension[3:5], "big")
    name = extension[5 : 5 + size]
    if len(extension) < 5 or extension[2] != _HOST_NAME or len(name) < size:
        return ""
    return name.decode("ascii", "replace").lower().rstrip(".")
