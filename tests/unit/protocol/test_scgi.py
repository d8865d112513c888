"""SCGI heads become CGI variables; what is ambiguous, lying or too large is refused."""

from __future__ import annotations

import random

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.cgi import as_cgi, environ_of
from uwsgi_deploy.protocol.scgi import ScgiCodec, encode_request

# The example of the protocol's specification.
EXAMPLE = (
    b"70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,"
    b"What is the answer to life?"
)


@pytest.fixture
def codec() -> ScgiCodec:
    return ScgiCodec({"SERVER_NAME": "here", "SCRIPT_NAME": ""}, max_head=1000)


def test_example_of_the_specification(codec: ScgiCodec) -> None:
    head = codec.decode(EXAMPLE)
    assert head is not None
    environ, consumed, body, keep_alive, facts = head
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/deepthought")
    assert (environ["SERVER_NAME"], environ["CONTENT_LENGTH"]) == ("here", "27")
    assert EXAMPLE[consumed:] == b"What is the answer to life?"
    assert (body, keep_alive, facts.is_http, facts.chunking) == (27, False, False, False)


def test_every_prefix_of_a_head_is_incomplete(codec: ScgiCodec) -> None:
    head = EXAMPLE[: EXAMPLE.index(b",") + 1]
    assert all(codec.decode(head[:size]) is None for size in range(1, len(head)))
    assert codec.decode(head) is not None


def test_what_encode_request_writes_is_read_back(codec: ScgiCodec) -> None:
    variables = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/caf\xe9", "QUERY_STRING": "", "HTTP_X": "a, b"}
    head = codec.decode(encode_request(variables, b"body"))
    assert head is not None
    assert head[2] == 4
    assert {name: head[0][name] for name in variables} == variables


def test_a_length_beside_chunks_is_the_length(codec: ScgiCodec) -> None:
    """nginx has decoded its client's chunks, and says what they were all the same."""
    head = codec.decode(encode_request({"HTTP_TRANSFER_ENCODING": "chunked"}, b"abc"))
    assert head is not None
    assert head[2] == 3
    assert "HTTP_TRANSFER_ENCODING" not in head[0]


@pytest.mark.parametrize(
    ("body", "said", "wanted"), [(b"abc", "3", 3), (b"", "3", 0), (b"abc", "x", 3), (b"abc", "\xb3", 3)]
)
def test_length_that_the_client_gave(codec: ScgiCodec, body: bytes, said: str, wanted: int) -> None:
    """None of the body may be passed on, for an authentication request; a part of it is a mistake. What is no number
    (str.isdigit takes a superscript three for one) is the client's affair."""
    head = codec.decode(encode_request({"HTTP_CONTENT_LENGTH": said}, body))
    assert head is not None
    assert head[2] == wanted


def test_part_of_a_body_is_refused(codec: ScgiCodec) -> None:
    with pytest.raises(ProtocolError, match="scgi_request_buffering"):
        codec.decode(encode_request({"HTTP_CONTENT_LENGTH": "30"}, b"abc"))


def netstring(block: bytes) -> bytes:
    return b"%d:%b," % (len(block), block)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b":", 400),
        (b"-1:", 400),
        (b"+5:", 400),
        (b"05:", 400),
        (b" 5:", 400),
        (b"\xb2:", 400),
        (b"0:,", 400),
        (b"99999999999", 400),
        (b"1001:", 431),
        (netstring(b"CONTENT_LENGTH\x000\x00SCGI\x001\x00")[:-1] + b";", 400),
        (netstring(b"CONTENT_LENGTH\x000\x00SCGI\x001"), 400),
        (netstring(b"CONTENT_LENGTH\x000\x00SCGI\x001\x00X\x00"), 400),
        (netstring(b"SCGI\x001\x00CONTENT_LENGTH\x000\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x00\x00SCGI\x001\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x005x\x00SCGI\x001\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x00-5\x00SCGI\x001\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x000\x00SCGI\x002\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x000\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x000\x00SCGI\x001\x00\x00evil\x00"), 400),
        (netstring(b"CONTENT_LENGTH\x000\x00SCGI\x001\x00CONTENT_LENGTH\x009\x00"), 400),
    ],
)
def test_refused(codec: ScgiCodec, data: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as error:
        codec.decode(data)
    assert error.value.status == status


def test_http_client_is_told_what_this_socket_speaks(codec: ScgiCodec) -> None:
    with pytest.raises(ProtocolError, match="an HTTP request on an SCGI socket"):
        codec.decode(b"POST /x HTTP/1.1\r\n")


def test_noise_is_refused_or_waited_for(codec: ScgiCodec) -> None:
    """Never another exception, and what is decoded feeds whole and byte by byte alike."""
    source = random.Random(5)
    for _ in range(3000):
        data = bytearray(EXAMPLE[:80])
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        assert outcome(codec, bytes(data)) == by_bytes(codec, bytes(data))


def outcome(codec: ScgiCodec, data: bytes) -> object:
    try:
        return codec.decode(data)
    except ProtocolError as error:
        return error.status


def by_bytes(codec: ScgiCodec, data: bytes) -> object:
    for size in range(1, len(data)):
        if (found := outcome(codec, data[:size])) is not None:
            return found
    return outcome(codec, data)


@pytest.mark.parametrize(
    ("variables", "script", "path"),
    [
        ({"PATH_INFO": "/a", "SCRIPT_NAME": "/s", "DOCUMENT_URI": "/s/a"}, "/s", "/a"),
        ({"PATH_INFO": "", "SCRIPT_NAME": "/s"}, "/s", ""),
        ({"DOCUMENT_URI": "/a b", "REQUEST_URI": "/a%20b?q"}, "", "/a b"),
        ({"SCRIPT_NAME": "/a b", "DOCUMENT_URI": "/a b", "REQUEST_URI": "/a%20b"}, "", "/a b"),
        ({"SCRIPT_NAME": "/s", "REQUEST_URI": "/s/a%20b?q=/s"}, "/s", "/a b"),
        ({"SCRIPT_NAME": "/s", "REQUEST_URI": "/sa"}, "/s", "/sa"),
        ({"REQUEST_URI": "/caf%C3%A9"}, "", "/caf\xc3\xa9"),
        ({}, "", ""),
    ],
    ids=["given", "empty", "nginx-scgi", "nginx-fastcgi", "mounted", "beside", "utf-8", "nothing"],
)
def test_path_info(variables: dict[str, str], script: str, path: str) -> None:
    environ = environ_of({}, variables)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, path)


def test_variables_that_load_code_are_dropped() -> None:
    assert "UWSGI_FILE" not in environ_of({}, {"UWSGI_FILE": "/tmp/evil.py", "HTTPS": "on"})
    assert environ_of({}, {"HTTPS": "on"})["wsgi.url_scheme"] == "https"


def test_status_becomes_a_field() -> None:
    assert as_cgi(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody") == b"Status: 404 Not Found\r\nA: b\r\n\r\nbody"
