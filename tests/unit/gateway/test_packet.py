"""Requests as servers are told of them: the same variables however they were packed, nothing hop-by-hop."""

from __future__ import annotations

from typing import Any

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway.forward import http_request
from uwsgi_deploy.gateway.packet import PACKED, Packer, RouterCodec, host_name, uwsgi_packet
from uwsgi_deploy.protocol.messages import UPGRADE
from uwsgi_deploy.protocol.routed import RoutedCodec, routed_frame
from uwsgi_deploy.protocol.uwsgi import UwsgiCodec, decode_variables

BASE: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "here",
    "SERVER_PORT": "80",
    "REMOTE_ADDR": None,
    "REMOTE_PORT": None,
    "wsgi.url_scheme": "http",
}
LIMITS = {"max_head": 65536, "max_line": 16384, "max_fields": 100}
REQUEST = (
    b"POST /caf%C3%A9?q=1 HTTP/1.1\r\nHost: example.org:81\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n"
    b"Connection: keep-alive, X-Mine, Cookie, X-Forwarded-For\r\nX-Mine: 1\r\n"
    b"Cookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n"
    b"TE: trailers\r\nKeep-Alive: 5\r\nExpect: 100-continue\r\nX-Yours: 2\r\n\r\n"
)
WANTED = {
    "REQUEST_METHOD": "POST",
    "REQUEST_URI": "/caf%C3%A9?q=1",
    "PATH_INFO": "/caf\xc3\xa9",
    "QUERY_STRING": "q=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "here",
    "SERVER_PORT": "80",
    "REMOTE_ADDR": "9.8.7.6",
    "REMOTE_PORT": "55",
    "CONTENT_LENGTH": "5",
    "CONTENT_TYPE": "text/plain",
    "HTTP_HOST": "example.org:81",
    "HTTP_COOKIE": "a=b",
    "HTTP_X_FORWARDED_FOR": "1.2.3.4",
    "HTTP_X_YOURS": "2",
    "EXTRA": "mine",
}


def decoded(
    request: bytes = REQUEST, *, packs: bool = True, extra: dict[str, str] | None = None, **options: Any
) -> tuple[dict[str, Any], int]:
    """The environ of a request, as the router has it, and the length of its body."""
    codec = RouterCodec(BASE, packs=packs, extra={"EXTRA": "mine"} if extra is None else extra, **LIMITS, **options)
    head = codec.decode(request)
    assert head is not None
    environ = head[0]
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = "9.8.7.6", "55"
    return environ, head[2]


def blocks(environ: dict[str, Any], *, as_host: bool = False, is_upgrade: bool = False) -> tuple[bytes, bytes, bytes]:
    """Its blocks, made twice: what was remembered is the same."""
    packer = Packer(as_host=as_host)
    first = packer.blocks(environ, is_upgrade=is_upgrade)
    assert packer.blocks(environ, is_upgrade=is_upgrade) == first
    return first


@pytest.mark.parametrize("packs", [True, False])
def test_variables_of_a_request(packs: bool) -> None:
    environ, _ = decoded(packs=packs)
    assert (PACKED in environ) is packs
    assert decode_variables(b"".join(blocks(environ))) == WANTED


def test_variables_that_a_codec_around_it_adds() -> None:
    """Those of a client's certificate."""
    environ, _ = decoded()
    environ["HTTPS_DN"] = "/CN=alice"
    assert decode_variables(b"".join(blocks(environ))) == {**WANTED, "HTTPS_DN": "/CN=alice"}


def test_both_heads_are_read_back() -> None:
    parts = blocks(decoded()[0])
    for data, codec in (
        (uwsgi_packet(*parts), UwsgiCodec({}, max_head=65536)),
        (routed_frame(*parts), RoutedCodec({}, max_head=65536)),
    ):
        assert all(codec.decode(data[:size]) is None for size in range(1, len(data)))
        head = codec.decode(data + b"hello")
        assert head is not None
        assert {name: head[0][name] for name in WANTED} == WANTED
        assert (head[1], head[2]) == (len(data), 5)


def test_a_client_cannot_replace_what_the_router_adds() -> None:
    environ, _ = decoded(extra={"HTTP_COOKIE": "set", "SCRIPT_NAME": "/app"})
    variables = decode_variables(b"".join(blocks(environ)))
    assert (variables["HTTP_COOKIE"], variables["SCRIPT_NAME"]) == ("set", "/app")


def test_the_server_name_may_be_the_hosts() -> None:
    assert decode_variables(b"".join(blocks(decoded()[0], as_host=True)))["SERVER_NAME"] == "example.org"
    assert [host_name(host) for host in ("a", "a:1", "[::1]", "[::1]:8")] == ["a", "a", "[::1]", "[::1]"]


def test_upgrades_are_passed_on_and_may_be_switched_off() -> None:
    asked = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n"
    environ, body = decoded(asked)
    assert body == UPGRADE
    variables = decode_variables(b"".join(blocks(environ, is_upgrade=True)))
    assert (variables["HTTP_UPGRADE"], variables["HTTP_CONNECTION"]) == ("websocket", "Upgrade")
    head = RoutedCodec({}, max_head=65536).decode(routed_frame(*blocks(environ, is_upgrade=True)))
    assert head is not None
    assert head[2] == UPGRADE
    environ, body = decoded(asked, upgrades=False)
    assert body == 0
    assert "HTTP_UPGRADE" not in decode_variables(b"".join(blocks(environ)))


def test_an_upgrade_of_http_1_0_is_none() -> None:
    """RFC 9110 §7.8."""
    environ, body = decoded(b"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    assert body == 0
    head = RoutedCodec({}, max_head=65536).decode(routed_frame(*blocks(environ)))
    assert head is not None
    assert head[2] == 0


def test_expectations_have_a_limit() -> None:
    with pytest.raises(ProtocolError) as caught:
        decoded(most_expected=4)
    assert caught.value.status == 413
    assert decoded(most_expected=5)[1] == 5


@pytest.mark.parametrize("size", [65536, 70000])
def test_what_does_not_fit_a_packet_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        uwsgi_packet(b"x" * size, b"", b"")
    assert caught.value.status == 431
    codec = RoutedCodec({}, max_head=65536)
    assert codec.decode(routed_frame(b"x" * size, b"", b"")[:-1]) is None


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\n", b"\x00\x10\x00\x00" + b"x" * 20])
def test_others_are_not_heard_on_the_private_socket(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        RoutedCodec({}, max_head=65536).decode(data)
    assert caught.value.status == 400


@pytest.mark.parametrize(("modifier", "status"), [(98, 403), (7, 501), (250, 400)])
def test_modifiers_that_are_no_request(modifier: int, status: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        RoutedCodec({}, max_head=65536).decode(routed_frame(*blocks(decoded()[0]), modifier1=modifier))
    assert caught.value.status == status


def test_modifier_30_cuts_the_script_name() -> None:
    environ, _ = decoded(b"GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n", extra={"SCRIPT_NAME": "/app"})
    head = RoutedCodec({}, max_head=65536).decode(routed_frame(*blocks(environ), modifier1=30))
    assert head is not None
    assert (head[0]["SCRIPT_NAME"], head[0]["PATH_INFO"]) == ("/app", "/x")


def test_requests_for_servers_that_speak_http() -> None:
    lines = http_request(decoded()[0], is_upgrade=False).decode("latin-1").split("\r\n")
    assert lines[0] == "POST /caf%C3%A9?q=1 HTTP/1.1"
    assert lines[-2:] == ["", ""]
    assert sorted(lines[1:-2]) == [
        "Connection: close",
        "Content-Length: 5",
        "Content-Type: text/plain",
        "Cookie: a=b",
        "Host: example.org:81",
        "Via: 1.1 uwsgi-deploy",
        "X-Forwarded-For: 1.2.3.4, 9.8.7.6",
        "X-Forwarded-Proto: http",
        "X-Yours: 2",
    ]
