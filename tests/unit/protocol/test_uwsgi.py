"""uwsgi packets become CGI variables; lying ones are refused."""

from __future__ import annotations

import struct

import pytest

from uwsgi_deploy.errors import Aside, ProtocolError
from uwsgi_deploy.protocol.uwsgi import UwsgiCodec, decode_variables, encode_variables

VARIABLES = {"REQUEST_METHOD": "POST", "PATH_INFO": "/caf\xe9", "CONTENT_LENGTH": "5", "EMPTY": ""}


@pytest.fixture
def codec() -> UwsgiCodec:
    return UwsgiCodec({"SERVER_NAME": "here"}, max_head=1000)


def test_round_trip() -> None:
    assert decode_variables(encode_variables(VARIABLES)[4:]) == VARIABLES


def test_packet_becomes_variables(codec: UwsgiCodec) -> None:
    packet = encode_variables(VARIABLES)
    result = codec.decode(packet + b"hello")
    assert result is not None
    environ, consumed, body, keep_alive, facts = result
    assert environ["PATH_INFO"] == "/caf\xe9"
    assert environ["SERVER_NAME"] == "here"
    assert (consumed, body, keep_alive) == (len(packet), 5, False)
    assert (facts.variables, facts.size) == (len(VARIABLES), len(packet) - 4)


def test_every_prefix_of_a_packet_is_incomplete(codec: UwsgiCodec) -> None:
    packet = encode_variables(VARIABLES)
    assert all(codec.decode(packet[:size]) is None for size in range(len(packet)))


@pytest.mark.parametrize(
    ("variables", "scheme"),
    [
        ({}, "http"),
        ({"HTTPS": "on"}, "https"),
        ({"HTTPS": "off"}, "http"),
        ({"UWSGI_SCHEME": "wss"}, "wss"),
        ({"REQUEST_SCHEME": "https"}, "https"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "http"),
    ],
)
def test_scheme(codec: UwsgiCodec, variables: dict[str, str], scheme: str) -> None:
    result = codec.decode(encode_variables({"A": "b", **variables}))
    assert result is not None
    assert result[0]["wsgi.url_scheme"] == scheme


def test_modifier_30_cuts_the_script_name(codec: UwsgiCodec) -> None:
    result = codec.decode(encode_variables({"SCRIPT_NAME": "/app", "PATH_INFO": "/app/x"}, modifier1=30))
    assert result is not None
    assert result[0]["PATH_INFO"] == "/x"


def test_variables_that_load_code_are_dropped() -> None:
    assert decode_variables(encode_variables({"UWSGI_FILE": "/tmp/evil.py", "A": "b"})[4:]) == {"A": "b"}


@pytest.mark.parametrize(
    ("packet", "status"),
    [
        (b"\x00\x00\x00\x00", 400),
        (encode_variables({"A": "b"}, modifier1=5), 501),
        (encode_variables({"A": "b"}, modifier1=200), 400),
        (encode_variables({}, modifier1=98), 403),
        (b"GET / HTTP/1.1\r\n", 400),
        (encode_variables({"A": "b" * 2000}), 431),
        (struct.pack("<BHB", 0, 3, 0) + b"\x01\x00A", 400),
        (struct.pack("<BHB", 0, 5, 0) + b"\xff\x00A\x00\x00", 400),
        (struct.pack("<BHB", 0, 6, 0) + b"\x01\x00A\x09\x00x", 400),
        (struct.pack("<BHB", 0, 4, 0) + b"\x00\x00\x00\x00", 400),
        (encode_variables({"CONTENT_LENGTH": "5x"}), 400),
    ],
)
def test_refusals(codec: UwsgiCodec, packet: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        codec.decode(packet)
    assert refused.value.status == status


def test_http_is_told_where_it_is(codec: UwsgiCodec) -> None:
    with pytest.raises(ProtocolError, match="HTTP request on a uwsgi socket"):
        codec.decode(b"GET / HTTP/1.1\r\n\r\n")


def test_packet_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="65535"):
        encode_variables({"A": "b" * 70000})


def test_ping_is_answered(codec: UwsgiCodec) -> None:
    """As uWSGI does: modifier1 100, modifier2 1, and the end of the connection."""
    with pytest.raises(Aside) as raised:
        codec.decode(b"\x64\x00\x00\x00")
    assert (raised.value.reply, raised.value.goes_on) == (b"\x64\x00\x00\x01", False)


@pytest.mark.parametrize(("modifier", "status"), [(modifier, 403) for modifier in (17, 18, 22, 97, 98, 99, 111, 173)])
def test_commands_are_not_obeyed(codec: UwsgiCodec, modifier: int, status: int) -> None:
    with pytest.raises(ProtocolError, match=f"modifier {modifier}.*not obeyed") as raised:
        codec.decode(encode_variables({"key": "value"}, modifier1=modifier))
    assert (raised.value.status, raised.value.answer) == (status, b"")


def test_signal_is_answered_with_its_refusal(codec: UwsgiCodec) -> None:
    with pytest.raises(ProtocolError) as raised:
        codec.decode(b"\x6e\x00\x00\x05")
    assert (raised.value.status, raised.value.answer) == (403, b"\x6e\x00\x00\x00")


def test_every_modifier_is_a_request_or_none(codec: UwsgiCodec) -> None:
    for modifier in range(256):
        data = encode_variables({"A": "b"}, modifier1=modifier)
        if modifier in (0, 30):
            assert codec.decode(data) is not None
        else:
            with pytest.raises((ProtocolError, Aside)):
                codec.decode(data)


def test_what_was_read_before_is_read_alike(codec: UwsgiCodec) -> None:
    """Remembered are packets and the header fields behind the web server's own variables; environs share nothing."""
    fields = {"HTTP_HOST": "h", "HTTP_COOKIE": "a=1"}
    for uri in ("/a", "/b", "/b", "/a?HTTP_HOST", "/a?x=\x04\x00HTTP_"):
        variables = {"REQUEST_METHOD": "GET", "REQUEST_URI": uri, **fields}
        head = codec.decode(encode_variables(variables))
        assert head is not None
        assert head[0].items() >= variables.items()
        head[0]["HTTP_COOKIE"] = "changed by the application"


@pytest.mark.parametrize("name", ["UWSGI_FILE", "HTTP_PROXY"])
def test_special_variables_are_found_in_front_of_fields_and_among_them(name: str) -> None:
    told = []
    codec = UwsgiCodec({}, max_head=1000, special=lambda _variables, name, value: told.append((name, value)))
    for variables in ({name: "x", "HTTP_A": "1"}, {"B": "2", "HTTP_A": "1", name: "y"}):
        head = codec.decode(encode_variables(variables))
        assert head is not None
        assert (name in head[0], head[0]["HTTP_A"]) == (False, "1")
    assert told == [(name, "x"), (name, "y")]
