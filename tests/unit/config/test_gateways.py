"""The http router's options as a whole: what they mean together, what is refused, what has no effect."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.checks import require_socket
from uwsgi_deploy.config.gateways import INSTEAD
from uwsgi_deploy.config.platform import platform_options
from uwsgi_deploy.config.schema import BY_NAME
from uwsgi_deploy.errors import ConfigError

HTTP = ("--http", ":8000")
TO = ("--http-to", "10.0.0.1:3031")


def test_names_of_uwsgi() -> None:
    options = ("--httprouter=:80", "--http-workers=2", "--http-ss=x.sock", "--http-keepalive=30")
    gateway = configure(*options).settings.gateway
    assert (gateway.http, gateway.http_processes, gateway.http_stats) == ((":80",), 2, "x.sock")
    assert gateway.http_keepalive == 30.0
    plan = gateway.plan
    assert plan is not None
    assert [text for _, _, text in plan.addresses] == [":80", "x.sock"]
    bare = configure(*HTTP, "--http-keepalive", "--http-manage-expect").settings.gateway
    assert (bare.http_keepalive, bare.http_manage_expect) == (1.0, 1)


def test_http_is_an_address_to_listen_on() -> None:
    """Nothing else is needed, and a platform's port is not another one."""
    require_socket(configure(*HTTP).settings)
    configured = {"http": (":8000",)}
    assert platform_options({"PORT": "5000"}, configured).options == ()
    assert platform_options({"PORT": "8000", "DYNO": "web.1"}, configured).warnings == ()
    (warning,) = platform_options({"PORT": "5000", "DYNO": "web.1"}, configured).warnings
    assert "uses port 5000" in warning


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*HTTP, "--http-processes=0"), "'http-processes' must be from 1 to 64, not 0"),
        ((*HTTP, "--http-processes=65"), "'http-processes' must be from 1 to 64, not 65"),
        ((*HTTP, "--http-modifier1=256"), "'http-modifier1' is a byte, 256 is more than 255"),
        ((*HTTP, "--http-var=X"), "'http-var' needs NAME=value, not 'X'"),
        ((*HTTP, "--http-use-pattern=/run/x"), "'http-use-pattern' needs %s where the request's Host is to stand"),
        ((*HTTP, "--http-use-pattern=/%s/%d"), "'http-use-pattern' has one %s and no other %, not '/%s/%d'"),
        ((*HTTP, *TO, "--http-use-base=/run/"), "'http-use-base' and 'http-to' contradict each other"),
        ((*HTTP, "--http-use-socket=0"), "'http-use-socket' has no socket 0: there is no socket"),
        (
            (*HTTP, "--socket=:1", "--http-use-socket=1"),
            "'http-use-socket' has no socket 1: there is 1 socket, numbered from 0",
        ),
        ((*HTTP, "--http-use-socket="), "'http-use-socket' needs the number of a socket, not ''"),
        ((*HTTP, "--http-use-socket=x", "--socket=:1"), "'http-use-socket' needs the number of a socket, not 'x'"),
        (
            (*HTTP, "--http-socket=:1", "--http-use-socket=0"),
            "'http-use-socket' means a socket on which http is spoken, and the router speaks uwsgi",
        ),
        ((*HTTP, "--http-enable-proxy-protocol"), "'http-enable-proxy-protocol' needs 'trusted-proxies'"),
        ((*HTTP, "--http-stud-prefix=a:80"), "'http-stud-prefix' needs the IP address of a peer, not 'a:80'"),
        ((*HTTP, "--force-gateway"), "'force-gateway' is for a router without workers"),
        ((*HTTP, *TO, "--force-gateway", "--no-master", "--http-processes=2"), "'http-processes' must be 1 with"),
        ((*HTTP, *TO, "--idle=5"), "'idle' is about workers, and a router whose servers are elsewhere has none"),
    ],
)
def test_refusals(arguments: tuple[str, ...], says: str) -> None:
    assert says in refusal(*arguments)


def test_what_has_no_effect_is_said() -> None:
    assert configure("--http-timeout=5").warnings == (
        "command line: 'http-timeout' has no effect without 'http' or 'https', the http router",
    )
    assert configure(*HTTP, "--http-gracetime=5").warnings == (
        "command line: 'http-gracetime' has no effect without 'http-to': the router's servers are own workers",
    )
    (unused,) = configure(*HTTP, *TO, "--module=x").warnings
    assert "'module' is not loaded" in unused
    (useless,) = configure(*HTTP, *TO, "--force-gateway").warnings
    assert "'force-gateway' has no effect with a master" in useless


def test_a_router_that_is_less_patient_than_harakiri_is_said() -> None:
    """Unless somebody has thought of it, or the requests are another server's."""
    (warning,) = configure(*HTTP, "--harakiri=120").warnings
    assert warning.startswith("command line: 'harakiri' allows 120 s, but the router answers 504")
    assert "set http-timeout = 120" in warning
    assert not configure(*HTTP, "--harakiri=120", "--http-timeout=30").warnings
    assert not configure(*HTTP, "--harakiri=60").warnings
    assert not configure(*HTTP, *TO, "--harakiri=120").warnings


def test_a_way_to_https_that_somebody_else_has_to_speak_is_said() -> None:
    """Nobody answers at port 443 unless a balancer does."""
    (warning,) = configure("--http-to-https=:80", "--module=x").warnings
    assert warning.startswith("command line: 'http-to-https' leads to port 443")
    assert not configure("--http-to-https=:80", "--https=:443,cert.pem,key.pem", "--module=x").warnings


def test_https2_that_cannot_be_read_is_one_mistake() -> None:
    """Without an address it is no router yet, which is not what is wrong."""
    with pytest.raises(ConfigError, match=r"'https2' has no address") as refused:
        configure("--https2=cert=cert.pem,key=key.pem")
    assert not getattr(refused.value, "__notes__", ())


def test_a_router_needs_a_master() -> None:
    """As several workers do; a router alone may be told to do without."""
    configuration = configure(*HTTP, "--no-master")
    assert configuration.settings.workers.master
    assert configuration.warnings == ("command line: 'http' needs a master; it is switched on",)
    assert not configure(*HTTP, *TO, "--no-master", "--force-gateway").settings.workers.master


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("--http-timeout=300", "body-timeout and send-timeout"),
        ("--http-keepalive=75", "http-socket keeps connections, always"),
        ("--http-websockets=false", "http-socket passes WebSockets"),
        ("--http-enable-proxy-protocol", "enable-proxy-protocol, and trusted-proxies"),
    ],
)
def test_options_of_the_router_with_an_http_socket(option: str, instead: str) -> None:
    """Six of 157 real configurations: their authors meant something that they can have."""

    def told(*options: str) -> bool:
        return any(instead in warning for warning in configure(option, *options).warnings)

    assert told("--http-socket=:1")
    assert not told("--http=:1", "--trusted-proxies=*")
    assert not told("--socket=:1")


def test_what_is_meant_instead_are_options() -> None:
    assert set(INSTEAD) <= set(BY_NAME)
