"""Heads of what servers answer: read strictly, and written again as the client is to have them (RFC 9112 §6, RFC 9110
§7.6.1). Pure.

A head is worked out once: servers repeat themselves, at least within the second that their Date names.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.memo import Memo

END_OF_HEAD = b"\r\n\r\n"
UNTIL_CLOSE, CHUNKED = -1, -2
SWITCHING_PROTOCOLS = 101
LARGEST_HEAD = 262144
_BEGIN = b"HTTP/1."

_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*"
    rb"((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_GZIP_WANTED = b"uwsgi-encoding"
# A client must not be told of these: they are about the connection to the server (RFC 9110 §7.6.1).
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te", b"upgrade", b"content-length"}
)
# What a server cannot have removed by naming it in its Connection field.
_END_TO_END = frozenset({b"content-type", b"content-encoding", b"set-cookie", b"location", b"date", b"cache-control"})


class AnswerHead(NamedTuple):
    """What a server's head says.

    start: status line and fields that are for the client, each with its line end. length: of the body, `UNTIL_CLOSE` or
    `CHUNKED`, as the fields say; a 204, a 304 and what answers HEAD have none whatever they say. keeps: whether the
    server would take another request on this connection; closes: how often it names close in its Connection fields.
    upgrade: the protocol it switches to.
    wants_gzip: it asks the router to compress the body.
    """

    status: int
    start: bytes
    length: int
    keeps: bool
    closes: int
    has_date: bool
    upgrade: bytes
    wants_gzip: bool
    is_encoded: bool


def parse_answer(head: bytes) -> AnswerHead:
    """The head without its empty line. Raises ProtocolError(502) on what is none, or is ambiguous."""
    status_line, *lines = head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise bad("the server's answer does not begin with an HTTP status line")
    fields: list[tuple[bytes, bytes, bytes]] = []
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    options: list[bytes] = []
    upgrade, encoded, gzip = b"", False, False
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise bad("a malformed header field in the server's answer")
        name, value = found[1].lower(), found[2]
        if name == b"content-length":
            lengths.update(part.strip() for part in value.split(b","))
        elif name == b"transfer-encoding":
            codings += [part.strip() for part in value.lower().split(b",")]
        elif name == b"connection":
            options += [part.strip() for part in value.lower().split(b",")]
        elif name == b"upgrade":
            upgrade = value
        elif name == _GZIP_WANTED:
            gzip = value.lower() == b"gzip"
        elif name == b"content-encoding":
            encoded = True
        fields.append((name, line, value))
    named = set(options) - _END_TO_END
    kept = [line for name, line, _ in fields if name not in _HOP_BY_HOP and name not in named and name != _GZIP_WANTED]
    start = b"HTTP/1.1 %b %b\r\n" % (match[1], match[2] or b"") + b"".join([line + b"\r\n" for line in kept])
    return AnswerHead(
        status=int(match[1]),
        start=start,
        length=_length(lengths, codings),
        keeps=b"close" not in options and status_line.startswith(b"HTTP/1.1"),
        closes=options.count(b"close"),
        has_date=any(name == b"date" for name, _, _ in fields),
        upgrade=upgrade,
        wants_gzip=gzip,
        is_encoded=encoded,
    )


def _length(lengths: set[bytes], codings: list[bytes]) -> int:
    """RFC 9112 §6.3. Ambiguous framing is refused: the client might read it otherwise."""
    if codings:
        if lengths or codings != [b"chunked"]:
            raise bad("Transfer-Encoding other than chunked, or beside Content-Length, in the server's answer")
        return CHUNKED
    if not lengths:
        return UNTIL_CLOSE
    (length, *others) = lengths
    if others or not _LENGTH.fullmatch(length):
        raise bad("an invalid Content-Length in the server's answer")
    return int(length)


def bad(detail: str) -> ProtocolError:
    """What is no answer."""
    return ProtocolError(502, detail)


_ANSWERS = Memo(parse_answer, capacity=256, longest=4096)


def take_head(data: bytes) -> tuple[AnswerHead, bytes] | None:
    """The head at the start of `data` and what follows it; None while it is incomplete. Raises ProtocolError(502)."""
    end = data.find(END_OF_HEAD)
    if end >= 0:
        return _ANSWERS[data[:end]], data[end + 4 :]
    if len(data) > LARGEST_HEAD or not (data.startswith(_BEGIN) or _BEGIN.startswith(data[: len(_BEGIN)])):
        raise bad("the server's answer is not HTTP")
    return None


class Reply(NamedTuple):
    """How the client gets the answer: its head, and whether its connection can be kept."""

    head: bytes
    keeps: bool


class Wish(NamedTuple):
    """What is known of the client's side. chunking: it understands chunks (HTTP/1.1)."""

    is_head: bool
    chunking: bool
    keeps: bool


def is_bodyless(answer: AnswerHead, *, is_head: bool) -> bool:
    """Whether no body follows, whatever the fields say (RFC 9112 §6.3)."""
    return is_head or answer.status == 204 or answer.status == 304


def write_head(answer: AnswerHead, wish: Wish, date_line: bytes, *, gzip: bool = False) -> Reply:
    """The head for the client. gzip: the body is compressed on its way, so that its length is not known."""
    lines = [gzipped(answer.start) if gzip else answer.start]
    if not answer.has_date:  # RFC 9110 §6.6.1
        lines.append(date_line)
    keeps = wish.keeps
    length = UNTIL_CLOSE if gzip else answer.length
    if length >= 0:
        if answer.status != 204:  # RFC 9110 §8.6: never in a 204
            lines.append(b"Content-Length: %d\r\n" % length)
    elif is_bodyless(answer, is_head=wish.is_head):
        if length == CHUNKED and wish.is_head and wish.chunking:
            lines.append(b"Transfer-Encoding: chunked\r\n")
    elif wish.chunking:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    else:
        keeps = False
    if not keeps:
        lines.append(b"Connection: close\r\n")
    elif not wish.chunking:  # HTTP/1.0 has to be told
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return Reply(b"".join(lines), keeps)


_ETAG = re.compile(rb'(?im)^(etag:[ \t]*)(")')
_VARY = re.compile(rb"(?im)^vary:[^\r\n]*accept-encoding")


def gzipped(start: bytes) -> bytes:
    """The fields of a body that is compressed on its way: another representation, so a strong ETag becomes a weak one
    (RFC 9110 §8.8.3.3)."""
    start = _ETAG.sub(rb"\1W/\2", start) + b"Content-Encoding: gzip\r\n"
    return start if _VARY.search(start) else start + b"Vary: Accept-Encoding\r\n"


def switch_head(answer: AnswerHead) -> bytes:
    """A 101 for the client, whose connection then is the server's (RFC 9110 §7.8)."""
    return answer.start + b"Upgrade: %b\r\nConnection: Upgrade\r\n\r\n" % answer.upgrade
