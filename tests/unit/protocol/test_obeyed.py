"""Packets of an allowed peer keep their variables; a request whose body is in a file has none behind its packet."""

from __future__ import annotations

import pytest

from uwsgi_deploy.protocol.forwarded import Trust
from uwsgi_deploy.protocol.obeyed import Allowed
from uwsgi_deploy.protocol.uwsgi import Dropped, UwsgiCodec, encode_variables

ASKED = {"A": "b", "UWSGI_FILE": "x.py", "UWSGI_SETENV": "C=d", "HTTP_PROXY": "evil"}
UNIX_PEER = ""


@pytest.fixture
def codec() -> UwsgiCodec:
    return UwsgiCodec({"SERVER_NAME": "here"}, max_head=1000)


def test_who_is_allowed_keeps_them(codec: UwsgiCodec) -> None:
    rule = Allowed(Trust((), unix=True, anyone=False), codec)
    for address, kept in ((UNIX_PEER, {"UWSGI_FILE", "UWSGI_SETENV"}), (("192.0.2.1", 5), set())):
        head = rule.meet(codec, address).decode(encode_variables(ASKED))
        assert head is not None
        assert head[0]["A"] == "b"
        assert {name for name in ASKED if name in head[0]} - {"A"} == kept


def test_body_in_a_file(codec: UwsgiCodec) -> None:
    allowed = Allowed(Trust((), unix=True, anyone=False), codec).meet(codec, UNIX_PEER)
    stored = encode_variables({"CONTENT_LENGTH": "5", "UWSGI_POSTFILE": "/x"})
    for chosen, body in ((allowed, 0), (codec, 5)):
        head = chosen.decode(stored)
        assert head is not None
        assert head[2] == body


def test_what_is_dropped_is_told_once() -> None:
    told: list[str] = []
    codec = UwsgiCodec({}, max_head=1000, special=Dropped(told.append))
    for _ in range(3):
        codec.decode(encode_variables(ASKED))
    assert [line.split()[0] for line in told] == ["UWSGI_FILE", "UWSGI_SETENV"]
