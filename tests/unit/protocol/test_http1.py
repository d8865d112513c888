"""HTTP/1.1 heads become CGI variables; whatever two parsers could read differently is refused."""

from __future__ import annotations

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.http1 import Http1Codec, parse_field, parse_request_line, unquote
from uwsgi_deploy.protocol.messages import CHUNKED, Environ

BASE = {"SCRIPT_NAME": "", "wsgi.version": (1, 0)}


@pytest.fixture
def codec() -> Http1Codec:
    return Http1Codec(BASE, max_head=1000, max_line=200, max_fields=10)


def head(*fields: str, line: str = "GET / HTTP/1.1") -> bytes:
    return "\r\n".join([line, *fields]).encode("latin-1") + b"\r\n\r\n"


def decoded(codec: Http1Codec, data: bytes) -> Environ:
    result = codec.decode(data)
    assert result is not None
    return result[0]


def test_request_becomes_variables(codec: Http1Codec) -> None:
    environ = decoded(codec, head("Host: a", "X-B: c", line="POST /p%41th?q=1 HTTP/1.1"))
    assert environ == {
        **BASE,
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/p%41th?q=1",
        "PATH_INFO": "/pAth",
        "QUERY_STRING": "q=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "a",
        "HTTP_X_B": "c",
    }


def test_equal_requests_share_nothing_that_can_be_changed(codec: Http1Codec) -> None:
    first = decoded(codec, head("Host: a"))
    first["HTTP_HOST"] = "evil"
    first["X"] = "y"
    assert decoded(codec, head("Host: a"))["HTTP_HOST"] == "a"
    assert "X" not in decoded(codec, head("Host: a"))


def test_every_prefix_of_a_head_is_incomplete(codec: Http1Codec) -> None:
    whole = head("Host: a", "X: y")
    assert all(codec.decode(whole[:size]) is None for size in range(len(whole)))


def test_consumed_bytes_end_with_the_head(codec: Http1Codec) -> None:
    whole = head("Host: a")
    result = codec.decode(whole + b"GET /next")
    assert result is not None
    assert result[1] == len(whole)


@pytest.mark.parametrize("line", ["/" + "a" * 185, "/"], ids=["longest line", "largest head"])
def test_what_fits_just_so_fits_byte_by_byte_too(line: str) -> None:
    """The line end, and the end of the head, are not counted, and neither are their pieces."""
    codec = Http1Codec(BASE, max_head=300, max_line=200, max_fields=10)
    start = f"GET {line} HTTP/1.1\r\nHost: a\r\nX: ".encode()
    whole = start + b"x" * (300 - len(start)) + b"\r\n\r\n"
    assert all(codec.decode(whole[:size]) is None for size in range(len(whole)))
    assert codec.decode(whole) is not None
    with pytest.raises(ProtocolError):
        codec.decode(whole[:-4] + b"xxxx")


def test_bare_line_feeds_among_empty_lines_are_refused(codec: Http1Codec) -> None:
    """However they come: what was accepted whole and refused in pieces could be two things to two parsers."""
    for start in (b"\r\n\n", b"\r\n\r\n\n", b"\r\n\n\r\n"):
        with pytest.raises(ProtocolError):
            codec.decode(start + head("Host: a"))


def test_empty_lines_before_a_request_are_skipped_and_counted(codec: Http1Codec) -> None:
    whole = b"\r\n" + head("Host: a")
    result = codec.decode(whole)
    assert result is not None
    assert result[1] == len(whole)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "x, Close", False),
        ("1.1", "keep-alive", True),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "keep-alive, close", False),
    ],
)
def test_keep_alive(codec: Http1Codec, version: str, connection: str, keeps: bool) -> None:
    fields = ["Host: a"] + ([f"Connection: {connection}"] if connection else [])
    result = codec.decode(head(*fields, line=f"GET / HTTP/{version}"))
    assert result is not None
    assert result[3] is keeps


@pytest.mark.parametrize(
    ("fields", "body"),
    [((), 0), (("Content-Length: 12",), 12), (("Transfer-Encoding: Chunked",), CHUNKED), (("Content-Length: 0",), 0)],
)
def test_body_length(codec: Http1Codec, fields: tuple[str, ...], body: int) -> None:
    result = codec.decode(head("Host: a", *fields))
    assert result is not None
    assert result[2] == body


def test_expectation_counts_from_11_on(codec: Http1Codec) -> None:
    new = codec.decode(head("Host: a", "Expect: 100-Continue"))
    old = codec.decode(head("Host: a", "Expect: 100-continue", line="GET / HTTP/1.0"))
    assert new is not None
    assert old is not None
    assert new[4].expects_continue
    assert not old[4].expects_continue


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET /" + b"a" * 300, 414),
        (b"GET /" + b"a" * 250 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 11 + b"\r\n", 431),
        (b"\r\n" * 10 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
def test_refusals(codec: Http1Codec, data: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        codec.decode(data)
    assert refused.value.status == status


def test_refusal_is_not_remembered_as_a_result(codec: Http1Codec) -> None:
    for _ in range(2):
        with pytest.raises(ProtocolError):
            codec.decode(b"GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"X-A:  b \t", "HTTP_X_A", "b"),
        (b"X-A:", "HTTP_X_A", ""),
        (b"Content-Type: t", "CONTENT_TYPE", "t"),
        (b"X-A: caf\xe9 \xa0", "HTTP_X_A", "caf\xe9 \xa0"),
        (b"X_A: b", "", ""),
        (b"Proxy: http://evil", "", ""),
    ],
)
def test_field(line: bytes, name: str, value: str) -> None:
    assert parse_field(line) == (name, value)


def test_absolute_form_overrides_the_host_field(codec: Http1Codec) -> None:
    environ = decoded(codec, head("Host: a", line="GET http://b:80?x HTTP/1.1"))
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("b:80", "/", "x")


def test_higher_minor_version_is_read_as_11() -> None:
    assert parse_request_line(b"GET / HTTP/1.9").protocol == "HTTP/1.1"


@pytest.mark.parametrize(
    ("path", "plain"),
    [(b"/a%20b", b"/a b"), (b"/%zz%2", b"/%zz%2"), (b"/%25%32%35", b"/%25"), (b"/%c3%a9", b"/\xc3\xa9")],
)
def test_unquote_decodes_once(path: bytes, plain: bytes) -> None:
    assert unquote(path) == plain
