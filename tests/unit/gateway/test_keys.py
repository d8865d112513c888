"""Keys of requests: what may become part of an address, and what never does."""

from __future__ import annotations

from itertools import product

import pytest

from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.gateway.backends import Backend, KeyedBalancer
from uwsgi_deploy.gateway.keys import LONGEST_KEY, address_for, is_safe
from uwsgi_deploy.types import Protocol


@pytest.mark.parametrize(
    ("base", "pattern", "key", "address"),
    [
        ("/run/apps/", "", "example.org", "/run/apps/example.org"),
        ("/run/apps/", "", "example.org:8080", "/run/apps/example.org:8080"),
        ("/run/apps/", "", "shop/blue..green", "/run/apps/shop/blue..green"),
        ("", "/run/%s/uwsgi.sock", "example.org", "/run/example.org/uwsgi.sock"),
        ("", "%s:3031", "backend", "backend:3031"),
    ],
)
def test_the_address_of_a_key(base: str, pattern: str, key: str, address: str) -> None:
    assert address_for(base, pattern, key) == address


@pytest.mark.parametrize(
    "key",
    [
        *("", ".", "..", "../a", "a/..", "a/../b", "a/.", "./a", "/a", "a//b", "a/", "//", "@a", "\\0a"),
        *("a\0b", "a b", "a\nb", "a\x7f", "x" * (LONGEST_KEY + 1)),
    ],
)
def test_keys_that_lead_elsewhere_are_refused(key: str) -> None:
    with pytest.raises(ConfigError):
        address_for("/run/apps/", "", key)


def test_no_key_leaves_the_directory() -> None:
    safe = {key for size in range(7) for key in map("".join, product("a./@\0", repeat=size)) if is_safe(key)}
    assert {"a", "a/a", "a/.a", "..a", "a@./a"} <= safe
    for key in safe:
        assert not {"", ".", ".."} & set(key.split("/")), key
        assert "\0" not in key


def test_a_host_that_leads_elsewhere_has_no_server() -> None:
    def backend(address: str) -> Backend:
        return Backend(address, Protocol.UWSGI)

    balancer = KeyedBalancer(lambda key: address_for("/run/apps/", "", key), backend, [], gracetime=1)
    assert balancer.choose("../x", [], 0.0) is None
    found = balancer.choose("Example.org", [], 0.0)
    assert found is not None
    assert found.name == "/run/apps/example.org"


def test_keys_that_are_no_host_names_keep_their_case() -> None:
    def backend(address: str) -> Backend:
        return Backend(address, Protocol.UWSGI)

    balancer = KeyedBalancer(lambda key: f"/run/{key}", backend, [], gracetime=1, fold=str)
    found = balancer.choose("Shop", [], 0.0)
    assert found is not None
    assert found.name == "/run/Shop"
