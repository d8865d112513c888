"""What the fastrouter reads of a packet."""

from __future__ import annotations

import pytest

from uwsgi_deploy.errors import Aside, ProtocolError
from uwsgi_deploy.gateway.fast import KEY, METHOD, PACKET, FastCodec, key_of
from uwsgi_deploy.protocol.messages import UPGRADE
from uwsgi_deploy.protocol.uwsgi import encode_variables

ASKED = encode_variables({"REQUEST_METHOD": "PUT", "HTTP_HOST": "Example.ORG", "UWSGI_FILE": "a.py"}, modifier1=14)


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"UWSGI_FASTROUTER_KEY": "Shop", "HTTP_HOST": "a", "SERVER_NAME": "b"}, "Shop"),
        ({"HTTP_HOST": "A:80", "SERVER_NAME": "b"}, "a:80"),
        ({"UWSGI_FASTROUTER_KEY": "", "HTTP_HOST": "", "SERVER_NAME": "B"}, "b"),
        ({}, ""),
    ],
)
def test_which_variable_is_the_key(variables: dict[str, str], key: str) -> None:
    assert key_of(variables) == key


def test_the_packet_stays_as_it_is_and_what_follows_is_left() -> None:
    head = FastCodec().decode(ASKED + b"body")
    assert head is not None
    environ, consumed, body, keep_alive, _ = head
    assert environ == {PACKET: ASKED, KEY: "example.org", METHOD: "PUT"}
    assert (consumed, body, keep_alive) == (len(ASKED), UPGRADE, False)


def test_a_packet_that_is_not_all_there_is_waited_for() -> None:
    assert all(FastCodec().decode(ASKED[:size]) is None for size in range(len(ASKED)))


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"\0\0\0\0", 400), (b"\x16\1\0\0a", 403), (b"\xfa\1\0\0a", 400), (b"\0\5\0\0\2\0ab\7", 400), (b"GET / ", 400)],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        FastCodec().decode(data)
    assert caught.value.status == status


def test_a_ping_is_answered_here() -> None:
    with pytest.raises(Aside):
        FastCodec().decode(b"\x64\0\0\0")
