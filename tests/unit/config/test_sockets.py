"""shared-socket and what refers to it; options about sockets that are refused, or always so."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, from_ini, refusal
from uwsgi_deploy.types import Protocol

SHARED = ("--shared-socket=127.0.0.1:80", "--undeferred-shared-socket=/run/x.sock")


def test_references_are_addresses() -> None:
    configuration = configure(*SHARED, "--http-socket=:1", "--http-socket==1", "--socket= =0 ")
    sockets = configuration.settings.sockets
    assert sockets.http_socket == (":1", "/run/x.sock")
    assert sockets.socket == ("127.0.0.1:80",)
    assert not any("shared-socket" in warning for warning in configuration.warnings)


def test_references_with_certificates_and_of_the_router() -> None:
    settings = configure(*SHARED, "--suwsgi-socket==1,a.pem,b.pem", "--https==0,c.pem,d.pem").settings
    assert settings.sockets.suwsgi_socket == ("/run/x.sock,a.pem,b.pem",)
    assert settings.sockets.addresses["suwsgi-socket"] == ("/run/x.sock",)
    assert settings.sockets.spoken("suwsgi-socket") is Protocol.UWSGI
    assert settings.gateway.https == ("127.0.0.1:80,c.pem,d.pem",)


def test_reference_to_nothing() -> None:
    assert "'http-socket = =2' means a shared-socket that is not there" in refusal(*SHARED, "--http-socket==2")
    assert "is not there" in refusal("--http-socket==0")


def test_one_address_is_not_for_two() -> None:
    assert "shared-socket 0 is in use already" in refusal(*SHARED, "--http-socket==0", "--socket==0")


def test_what_nothing_uses() -> None:
    warnings = configure(*SHARED, "--http-socket==0").warnings
    assert any("'shared-socket = /run/x.sock' is not bound: nothing uses it" in warning for warning in warnings)


@pytest.mark.parametrize("protocol", ["puwsgi", "fastcgi-nph", "scgi-nph"])
def test_protocols_of_socket(protocol: str) -> None:
    sockets = configure("--socket=:1", "--socket-protocol", protocol).settings.sockets
    assert sockets.spoken("socket") is sockets.spoken(f"{protocol}-socket") is Protocol(protocol)


@pytest.mark.parametrize(("protocol", "name"), [("raw", "raw"), ("suwsgi", "suwsgi"), ("https", "https")])
def test_protocols_that_socket_cannot_speak(protocol: str, name: str) -> None:
    assert name in refusal("--socket=:1", "--protocol", protocol)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--raw-socket=:1", "it gives connections to plugins"),
        ("--map-socket=0:1", "all workers serve all sockets: start a second server"),
    ],
)
def test_refused(option: str, reason: str, tmp_path: object) -> None:
    assert reason in refusal("--http-socket=:1", option)


def test_refused_in_files_too(tmp_path: object) -> None:
    with pytest.raises(Exception, match="'map-socket' is refused"):
        from_ini(tmp_path, "map-socket = 0:1,2\n")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "effect"),
    [
        ("--http-socket-modifier1=0", "is not needed"),
        ("--http-socket-modifier1=9", "has no effect: every request is for the Python application"),
        ("--scgi-modifier2=1", "has no effect"),
        ("--skip-zero", "is not needed"),
        ("--no-fd-passing", "is not needed"),
    ],
)
def test_modifiers_and_descriptors(option: str, effect: str) -> None:
    assert any(effect in warning for warning in configure("--http-socket=:1", option).warnings)


def test_a_protocol_of_no_socket_is_said() -> None:
    """It is about `socket` only: http-socket and the others say what they speak."""
    (warning,) = configure("--protocol=fastcgi", "--http-socket=:8000").warnings
    assert warning.startswith("command line: 'protocol' has no effect without 'socket'")
    assert not configure("--protocol=fastcgi", "--socket=:8000").warnings
