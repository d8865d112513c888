"""Status and headers of applications become bytes, or an error that names what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.responses import (
    FIELD_LINES,
    STATUS_LINES,
    DateLine,
    Special,
    encode_field,
    encode_status,
    error_response,
)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("200 OK", b"HTTP/1.1 200 OK\r\n"),
        ("299 Custom Reason", b"HTTP/1.1 299 Custom Reason\r\n"),
        ("404", b"HTTP/1.1 404 Not Found\r\n"),
        ("599", b"HTTP/1.1 599 Unknown\r\n"),
    ],
)
def test_status(status: str, line: bytes) -> None:
    assert encode_status(status) == (line, int(status[:3]))


@pytest.mark.parametrize(
    "status",
    ["", "abc", "200OK", "99 Low", "2000 High", "100 Continue", "200 a\r\nX: y", "200 a\nX: y", b"200 OK", 200, None],
)
def test_wrong_status(status: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_status(status)


@pytest.mark.parametrize(
    ("field", "special"),
    [
        (("X-A", "b"), Special.NONE),
        (("content-LENGTH", "1"), Special.CONTENT_LENGTH),
        (("Connection", "close"), Special.CONNECTION),
        (("Transfer-Encoding", "chunked"), Special.HOP_BY_HOP),
        (("Date", "x"), Special.DATE),
    ],
)
def test_field(field: tuple[str, str], special: Special) -> None:
    assert encode_field(field) == (f"{field[0]}: {field[1]}\r\n".encode(), special)


@pytest.mark.parametrize(
    "field",
    [
        ("X", "a\r\nY: z"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X: 1\r\nY", "z"),
        ("", "a"),
        ("X Y", "a"),
        ("X", "\u20ac"),
        ("X", 5),
        (b"X", "a"),
        ("X",),
        ["X", "a"],
        "Xa",
    ],
)
def test_wrong_field(field: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_field(field)


def test_memory_of_fields_is_bounded() -> None:
    for number in range(5000):
        FIELD_LINES["X-Request-Id", str(number)]
        STATUS_LINES[f"200 {number}"]
    assert len(FIELD_LINES) <= 512
    assert len(STATUS_LINES) <= 512


def test_date_is_made_once_a_second() -> None:
    date = DateLine()
    assert date.at(0.2) == b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    assert date.at(0.9) is date.at(0.1)
    assert date.at(1.0) == b"Date: Thu, 01 Jan 1970 00:00:01 GMT\r\n"


def test_error_response_is_whole_and_final() -> None:
    data = error_response(ProtocolError(431, "too much"), b"Date: x\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"too much" in body
