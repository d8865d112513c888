"""Which server gets a request."""

from __future__ import annotations

import socket
import threading
from collections import Counter

import pytest

from tests.support.waiting import wait_until
from uwsgi_deploy.config.servers import Server, parse_server
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.gateway.backends import Backend, Balancer, KeyedBalancer
from uwsgi_deploy.types import Protocol


def server(name: str, weight: int = 1) -> Backend:
    """A server that nobody connects to."""
    return Backend(name, Protocol.UWSGI, weight)


def spread(balancer: Balancer, count: int, *, now: float = 0.0) -> Counter[str]:
    """How many of `count` requests, that all are still running, each server gets."""
    found: Counter[str] = Counter()
    for _ in range(count):
        chosen = balancer.choose("", [], now)
        assert chosen is not None
        chosen.active += 1
        chosen.requests += 1
        found[chosen.name] += 1
    return found


def test_servers_get_requests_in_proportion_to_their_weights() -> None:
    assert spread(Balancer([server("a"), server("b", 3)], [], gracetime=30), 80) == {"a": 20, "b": 60}


def test_idle_servers_take_turns() -> None:
    balancer = Balancer([server("a"), server("b", 2)], [], gracetime=30)
    found: Counter[str] = Counter()
    for _ in range(30):
        chosen = balancer.choose("", [], 0.0)
        assert chosen is not None
        chosen.requests += 1
        found[chosen.name] += 1
    # An idle one of twice the weight is less busy by half with its next request.
    assert found["b"] > found["a"]


def test_the_least_busy_one_is_chosen() -> None:
    busy, idle = server("busy"), server("idle")
    busy.active = 1
    assert Balancer([busy, idle], [], gracetime=30).choose("", [], 0.0) is idle


def test_one_that_cannot_be_reached_is_left_alone_for_a_while() -> None:
    down, up = server("down"), server("up")
    balancer = Balancer([down, up], [], gracetime=30)
    balancer.unreachable(down, 100.0)
    up.active = 50
    assert balancer.choose("", [], 129.0) is up
    assert balancer.choose("", [], 130.0) is down
    assert down.failures == 1


def test_with_nobody_else_left_even_that_one_is_asked() -> None:
    down, fallback = server("down"), server("fallback")
    balancer = Balancer([down], [fallback], gracetime=30)
    balancer.unreachable(down, 0.0)
    assert balancer.choose("", [], 1.0) is down
    assert balancer.choose("", [down], 1.0) is fallback
    assert balancer.choose("", [down, fallback], 1.0) is None


def test_the_host_says_which_server() -> None:
    fallback = server("/fallback")
    balancer = KeyedBalancer(lambda host: f"/run/{host}.sock", server, [fallback], gracetime=30)
    first = balancer.choose("Example.org", [], 0.0)
    assert first is not None
    assert first.name == "/run/example.org.sock"
    assert balancer.choose("example.org", [], 0.0) is first
    assert balancer.choose("example.org", [first], 0.0) is fallback
    assert balancer.choose("", [], 0.0) is fallback
    assert balancer.choose("x" * 200, [], 0.0) is fallback  # longer than a Unix socket's path may be


def test_where_a_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server("127.0.0.1:80").target(0.0) == (socket.AF_INET, ("127.0.0.1", 80))
    assert server("/run/a.sock").target(0.0) == (socket.AF_UNIX, "/run/a.sock")
    assert server("@a").target(0.0) == (socket.AF_UNIX, "\0a")


def test_names_are_looked_up_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The router's other clients must not wait for a name server; it is asked again, but not all the time."""
    go_on = threading.Event()
    found: list[tuple[int, int, int, str, tuple[str, int]]] = []
    asked: list[bytes] = []

    def look_up(host: bytes, *_more: object, **_named: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        assert go_on.wait(10)
        if not found:
            raise socket.gaierror("nobody knows")
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    backend = server("app.example:3031")
    with pytest.raises(BlockingIOError):
        backend.target(100.0)
    go_on.set()
    wait_until(lambda: not _is_blocked(backend, 101.0), what="the answer that there is none")
    assert len(asked) == 1
    found.append((socket.AF_INET, 1, 6, "", ("192.0.2.1", 3031)))
    wait_until(lambda: not _is_blocked(backend, 120.0), what="the address")
    assert backend.target(120.0) == (socket.AF_INET, ("192.0.2.1", 3031))


def _is_blocked(backend: Backend, now: float) -> bool:
    try:
        backend.target(now)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def test_what_people_write() -> None:
    assert parse_server("127.0.0.1:3031", "http-to") == Server("127.0.0.1:3031", 1)
    assert parse_server("/run/a.sock , weight=3", "http-to") == Server("/run/a.sock", 3)


@pytest.mark.parametrize("text", ["", "a:1,weight=0", "a:1,weight=x", "a:1,weight=2000", "a:1,wieght=2", ",weight=2"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_server(text, "http-to")
