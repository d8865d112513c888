"""Heads that servers answer with: what they mean, what the client is told, what is refused."""

from __future__ import annotations

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway.answer import CHUNKED, UNTIL_CLOSE, Wish, gzipped, parse_answer, switch_head, write_head

DATE = b"Date: now\r\n"
KEEPS = Wish(is_head=False, chunking=True, keeps=True)


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """A head without its empty line."""
    return "\r\n".join((status, *lines)).encode("latin-1")


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (["Content-Length: 12"], 12),
        (["Content-Length: 12", "content-length: 12"], 12),
        (["Content-Length: 12, 12"], 12),
        (["Transfer-Encoding: Chunked"], CHUNKED),
        ([], UNTIL_CLOSE),
    ],
)
def test_length_of_the_body(lines: list[str], length: int) -> None:
    assert parse_answer(head(*lines)).length == length


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"hello",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 99 Odd",
        b"HTTP/1.1 2000 Odd",
        b"HTTP/1.1 200\x00 OK",
        head("Content-Length: 1", "Content-Length: 2"),
        head("Content-Length: -1"),
        head("Content-Length: 1", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Name : value"),
        head(" folded: value"),
        head("no colon"),
        head("X: a\nY: b"),
        head("X: a\x00b"),
    ],
)
def test_what_is_no_answer_is_a_bad_gateway(wrong: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_answer(wrong)
    assert caught.value.status == 502


def test_fields_about_the_connection_are_not_the_clients() -> None:
    """RFC 9110 §7.6.1; a server cannot have its cookies removed that way."""
    answer = parse_answer(
        head(
            "Connection: X-Mine, Set-Cookie, close", "X-Mine: 1", "Keep-Alive: 5", "Upgrade: x", "Set-Cookie: a", "X: b"
        )
    )
    assert answer.start == b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX: b\r\n"
    assert (answer.keeps, answer.closes) == (False, 1)


def test_answers_of_http_1_0_are_passed_on_as_1_1_and_end_their_connection() -> None:
    answer = parse_answer(head(status="HTTP/1.0 404"))
    assert answer.start == b"HTTP/1.1 404 \r\n"
    assert (answer.keeps, answer.closes) == (False, 0)


@pytest.mark.parametrize(
    ("fields", "wish", "wanted", "keeps"),
    [
        (["Content-Length: 3"], KEEPS, b"Content-Length: 3\r\n", True),
        ([], KEEPS, b"Transfer-Encoding: chunked\r\n", True),
        (["Transfer-Encoding: chunked"], KEEPS, b"Transfer-Encoding: chunked\r\n", True),
        ([], KEEPS._replace(chunking=False), b"Connection: close\r\n", False),
        (
            ["Content-Length: 3"],
            KEEPS._replace(chunking=False),
            b"Content-Length: 3\r\nConnection: keep-alive\r\n",
            True,
        ),
        (["Content-Length: 3"], KEEPS._replace(keeps=False), b"Content-Length: 3\r\nConnection: close\r\n", False),
        (["Content-Length: 3"], KEEPS._replace(is_head=True), b"Content-Length: 3\r\n", True),
        ([], KEEPS._replace(is_head=True), b"", True),
    ],
)
def test_framing_for_the_client(fields: list[str], wish: Wish, wanted: bytes, keeps: bool) -> None:
    reply = write_head(parse_answer(head(*fields)), wish, DATE)
    assert reply.head == b"HTTP/1.1 200 OK\r\n" + DATE + wanted + b"\r\n"
    assert reply.keeps is keeps


@pytest.mark.parametrize(
    ("status", "fields", "wanted"),
    [("204 None", ["Content-Length: 0"], b""), ("304 Same", ["Content-Length: 9"], b"Content-Length: 9\r\n")],
)
def test_answers_without_a_body_keep_the_connection(status: str, fields: list[str], wanted: bytes) -> None:
    """RFC 9110 §8.6: no length in a 204; a 304 has that of what it stands for."""
    answer = parse_answer(head(*fields, "Date: theirs", status=f"HTTP/1.1 {status}"))
    reply = write_head(answer, KEEPS, DATE)
    assert reply.head == f"HTTP/1.1 {status}\r\nDate: theirs\r\n".encode() + wanted + b"\r\n"
    assert reply.keeps


def test_a_compressed_body_is_another_representation() -> None:
    """RFC 9110 §8.8.3.3."""
    start = gzipped(b'HTTP/1.1 200 OK\r\nETag: "a"\r\n')
    assert start == b'HTTP/1.1 200 OK\r\nETag: W/"a"\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n'
    known = b'HTTP/1.1 200 OK\r\netag: W/"a"\r\nVary: Cookie, Accept-Encoding\r\n'
    assert gzipped(known) == known + b"Content-Encoding: gzip\r\n"


def test_the_wish_for_compression_is_not_passed_on() -> None:
    answer = parse_answer(head("uWSGI-Encoding: gzip", "Content-Length: 4"))
    assert answer.wants_gzip
    assert b"uwsgi" not in answer.start.lower()
    assert write_head(answer, KEEPS, DATE, gzip=True).head.endswith(b"Transfer-Encoding: chunked\r\n\r\n")


def test_switching_protocols_says_so_again() -> None:
    answer = parse_answer(
        head("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x", status="HTTP/1.1 101 Switch")
    )
    assert switch_head(answer) == (
        b"HTTP/1.1 101 Switch\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
