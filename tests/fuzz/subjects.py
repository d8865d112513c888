"""The codecs under test: how a case is made, how it is read, and what must be true of what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

from tests.fuzz import material
from tests.fuzz.feeding import Answers, Chunks, Conversation, Feedable, Note, Talk
from uwsgi_deploy.protocol.fastcgi import FastCgiCodec
from uwsgi_deploy.protocol.forwarded import FAMILY, Forwarded, ForwardedCodec, Trust, parse_node
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.protocol.proxy_protocol import ProxyProtocolCodec
from uwsgi_deploy.protocol.routed import RoutedCodec
from uwsgi_deploy.protocol.scgi import ScgiCodec
from uwsgi_deploy.protocol.stud import StudCodec
from uwsgi_deploy.protocol.uwsgi import NEVER_OBEYED, UwsgiCodec

BASE: dict[str, Any] = {
    "REMOTE_ADDR": None,
    "REMOTE_PORT": "",
    "SERVER_PORT": "80",
    "SCRIPT_NAME": "",
    "wsgi.url_scheme": "http",
}
_NETWORKS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/112"))
_FAMILY = frozenset(FAMILY.values())


@dataclass(frozen=True, slots=True)
class Subject:
    """make: the bytes of a case, before mutation. reader: made anew for each feeding, from a small or a usual limit.
    check: raises AssertionError when what was read cannot be."""

    make: Callable[[Random], bytes]
    reader: Callable[[int], Feedable]
    check: Callable[[list[Note]], None] = lambda _notes: None


def rules() -> Forwarded:
    """Who is believed."""
    return Forwarded(Trust(_NETWORKS, unix=True, anyone=False), list(FAMILY))


def http(limit: int) -> Http1Codec:
    """With room for a head of so many bytes."""
    return Http1Codec(BASE, max_head=limit, max_line=limit // 2, max_fields=max(limit // 40, 3))


def heads(notes: list[Note]) -> list[dict[str, Any]]:
    """The environs of the requests."""
    return [note[1] for note in notes if note[0] == "head"]


def check_http(notes: list[Note]) -> None:
    """No line end comes through in any variable: it would be another header in a log, a cache key or a redirect."""
    for environ in heads(notes):
        for name, value in environ.items():
            if name != "PATH_INFO" and isinstance(value, str):  # a path is decoded
                assert not set("\r\n\0").intersection(value), (name, value)
        assert environ["REQUEST_METHOD"]
        assert "HTTP_PROXY" not in environ
        assert not {"HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"}.intersection(environ)


def check_variables(notes: list[Note]) -> None:
    """What would make uWSGI run code never reaches anybody."""
    for environ in heads(notes):
        assert not NEVER_OBEYED.intersection(environ), environ
        assert environ["wsgi.url_scheme"]


def check_trusted(notes: list[Note]) -> None:
    """The client is an address, and one that no trusted proxy has unless all of the chain have it."""
    check_http(notes)
    for environ in heads(notes):
        if address := environ["REMOTE_ADDR"]:
            ip_address(address)
        assert environ["SERVER_PORT"].isdigit()
        assert environ["wsgi.url_scheme"] in ("http", "https")
        if chain := environ.get("HTTP_X_FORWARDED_FOR"):
            client, *proxies = (parse_node(entry.strip()) for entry in chain.split(","))
            assert client is not None
            assert "HTTP_FORWARDED" in environ or client.address == address
            for proxy in proxies:
                assert proxy is not None
                assert any(ip_address(proxy.address) in network for network in _NETWORKS), chain


def check_untrusted(notes: list[Note]) -> None:
    """Nothing of what a stranger says of proxies comes through."""
    for environ in heads(notes):
        assert not (_FAMILY | {"HTTP_X_REAL_IP"}).intersection(environ), environ
        assert environ["REMOTE_ADDR"] is None
        assert environ["wsgi.url_scheme"] == "http"


def check_introduced(notes: list[Note]) -> None:
    """Nobody is served before the header, and there is one of them."""
    kinds = [note[0] for note in notes]
    assert kinds.count("introduced") <= 1
    assert "head" not in kinds or kinds[0] == "introduced"
    for note in notes:
        if note[0] == "introduced" and note[1] is not None and note[1][0]:
            ip_address(note[1][0])
            assert 0 <= int(note[1][1] or 0) <= 65535


def check_answers(notes: list[Note]) -> None:
    """The client has one head whose lines are lines, one framing, and no more than that announces."""
    for note in notes:
        if note[0] == "answer":
            head = note[2].head
            assert head.endswith(b"\r\n\r\n")
            assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
            names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
            assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
            assert names.count(b"connection") <= 1
            announced = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
        elif note[0] == "sent" and announced:
            assert len(note[1]) <= int(announced[0])


SUBJECTS: dict[str, Subject] = {
    "http1": Subject(material.http_requests, lambda limit: Conversation(http(limit)), check_http),
    "chunked": Subject(material.chunked, lambda _limit: Chunks()),
    "uwsgi": Subject(
        material.uwsgi_packet, lambda limit: Conversation(UwsgiCodec(BASE, max_head=limit)), check_variables
    ),
    "scgi": Subject(
        material.scgi_request, lambda limit: Conversation(ScgiCodec(BASE, max_head=limit)), check_variables
    ),
    "fastcgi": Subject(
        material.fastcgi_records, lambda limit: Conversation(FastCgiCodec(BASE, max_head=limit)), check_variables
    ),
    "proxy": Subject(
        material.proxied,
        lambda limit: Conversation(ProxyProtocolCodec(http(limit), rules(), "10.0.0.1")),
        check_introduced,
    ),
    "forwarded": Subject(
        material.forwarded_requests,
        lambda limit: Conversation(ForwardedCodec(http(limit), rules(), is_trusted=True)),
        check_trusted,
    ),
    "strangers": Subject(
        material.forwarded_requests,
        lambda limit: Conversation(ForwardedCodec(http(limit), rules(), is_trusted=False)),
        check_untrusted,
    ),
    "routed": Subject(
        material.routed_request, lambda limit: Conversation(RoutedCodec(BASE, max_head=limit)), check_variables
    ),
    "stud": Subject(material.stud_prefixed, lambda limit: Conversation(StudCodec(http(limit))), check_introduced),
    "answers": Subject(material.answers, lambda _limit: Answers(), check_answers),
    "websocket": Subject(material.frames, Talk),
}
"""By the name on the command line."""
