"""Response heads: status and header fields to bytes, checked so that an application cannot split a response.

Status lines and header pairs are remembered: applications repeat nearly all of them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from enum import IntEnum
from http import HTTPStatus
from typing import Generic, TypeVar

from uwsgi_deploy.errors import ProtocolError

# 1xx is no answer to a request: the client would wait for another (RFC 9110 §15.2).
_STATUS = re.compile(r"[2-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 §5.5: CR, LF and NUL in a value could start another field or response.
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00\r\n]")

_CAPACITY = 512
_LONGEST = 256


class Special(IntEnum):
    """Response fields that the server has to know about."""

    NONE = 0
    CONTENT_LENGTH = 1
    CONNECTION = 2
    HOP_BY_HOP = 3
    DATE = 4


# Python 3.11 looks an enum's member up with a function call; on the request path these names are used instead.
_, CONTENT_LENGTH, CONNECTION, _, DATE = Special

# Framing and connection management are the server's (PEP 3333, "Other HTTP Features"): an application that copies these
# from an upstream answer must not break the connection with them, so they are not sent.
_SPECIAL = {
    "content-length": Special.CONTENT_LENGTH,
    "connection": Special.CONNECTION,
    "keep-alive": Special.HOP_BY_HOP,
    "proxy-connection": Special.HOP_BY_HOP,
    "te": Special.HOP_BY_HOP,
    "trailer": Special.HOP_BY_HOP,
    "transfer-encoding": Special.HOP_BY_HOP,
    "upgrade": Special.HOP_BY_HOP,
    "date": Special.DATE,
}

Key = TypeVar("Key")
Result = TypeVar("Result")


class _Remembered(dict[Key, Result], Generic[Key, Result]):
    """As `protocol.memo.Memo`, for keys that an application gives."""

    __slots__ = ("_compute", "_size")

    def __init__(self, compute: Callable[[Key], Result], size: Callable[[Result], int]) -> None:
        super().__init__()
        self._compute, self._size = compute, size

    def __missing__(self, key: Key) -> Result:
        result = self._compute(key)
        if self._size(result) <= _LONGEST:
            if len(self) >= _CAPACITY:
                self.clear()
            self[key] = result
        return result


def encode_status(status: str) -> tuple[bytes, int]:
    """The status line of `200 OK` and its number. Raises TypeError or ValueError on what is no status."""
    if not isinstance(status, str):
        raise TypeError(f"the status must be a str such as '200 OK', not {type(status).__name__}")
    if not _STATUS.fullmatch(status):
        raise ValueError(f"the status must be three digits, a space and a reason, not {status!r}")
    if len(status) == 3:
        status += " " + reason_phrase(int(status))
    return f"HTTP/1.1 {status}\r\n".encode("latin-1"), int(status[:3])


def encode_field(field: tuple[str, str]) -> tuple[bytes, Special]:
    """One header line and what the server has to know of it. Raises TypeError or ValueError on what is no header."""
    if not isinstance(field, tuple) or len(field) != 2:
        raise TypeError(f"a response header must be a (name, value) tuple, not {field!r}")
    name, value = field
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"name and value of a response header must be str: {field!r}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"invalid response header name {name!r}")
    if _FORBIDDEN_IN_VALUE.search(value):
        raise ValueError(f"the value of response header {name!r} contains CR, LF or NUL")
    try:
        line = f"{name}: {value}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value of response header {name!r} is not latin-1 text: {value!r}") from None
    return line, _SPECIAL.get(name.lower(), Special.NONE)


STATUS_LINES: dict[str, tuple[bytes, int]] = _Remembered(encode_status, lambda result: len(result[0]))
FIELD_LINES: dict[tuple[str, str], tuple[bytes, Special]] = _Remembered(encode_field, lambda result: len(result[0]))


def reason_phrase(status: int) -> str:
    """The standard text of a status code, or 'Unknown'."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class DateLine:
    """`Date: …` (RFC 9110 §6.6.1), made once a second. The clock is passed in."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def at(self, unix_time: float) -> bytes:
        """The header line for this moment."""
        second = int(unix_time)
        if second != self._second:
            moment = time.gmtime(second)
            day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
            self._line = time.strftime(f"Date: {day}, %d {month} %Y %H:%M:%S GMT\r\n", moment).encode("ascii")
            self._second = second
        return self._line


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def error_response(error: ProtocolError, date_line: bytes) -> bytes:
    """A whole response that says what was wrong and ends the connection."""
    reason = reason_phrase(error.status)
    body = f"{error.status} {reason}: {error.detail}.\n".encode("latin-1", "replace")
    lines = (
        b"HTTP/1.1 %d %b\r\n" % (error.status, reason.encode("ascii")),
        date_line,
        b"Content-Type: text/plain; charset=utf-8\r\n",
        b"Content-Length: %d\r\n" % len(body),
        b"Connection: close\r\n\r\n",
        body,
    )
    return b"".join(lines)


TIMEOUT_TEXT = "The request took too long and was ended."
"""What a client reads of a request whose time was over, when the project has no page for it."""


def timeout_body(*, as_json: bool) -> tuple[str, str]:
    """Content type and body of the answer to a request whose time was over."""
    if as_json:
        return "application/json", f'{{"status": 504, "error": "Gateway Timeout", "detail": "{TIMEOUT_TEXT}"}}\n'
    return "text/plain; charset=utf-8", f"504 Gateway Timeout: {TIMEOUT_TEXT}\n"


def timeout_response(date_line: bytes, *, as_json: bool = False, is_head: bool = False) -> bytes:
    """A whole response to a request whose time was over, that ends the connection."""
    kind, text = timeout_body(as_json=as_json)
    body = text.encode("ascii")
    lines = (
        b"HTTP/1.1 504 Gateway Timeout\r\n",
        date_line,
        b"Content-Type: %b\r\n" % kind.encode("ascii"),
        b"Content-Length: %d\r\n" % len(body),
        b"Connection: close\r\n\r\n",
        b"" if is_head else body,
    )
    return b"".join(lines)


def prefers_json(accept: str) -> bool:
    """Whether a client that sends this Accept header would rather have JSON than text or HTML (RFC 9110 §12.5.1)."""
    json, text = 0.0, 0.0
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
            json = max(json, weight)
        elif kind.startswith("text/") or kind == "application/xhtml+xml":
            text = max(text, weight)
    return json > text


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
