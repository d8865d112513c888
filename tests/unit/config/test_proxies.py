"""trusted-proxies and trusted-proxy-headers: what they accept, what they refuse, and FORWARDED_ALLOW_IPS."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.trusted import Trusted, headers_in, trusted_in


def test_nobody_is_trusted_unless_told() -> None:
    assert configure().settings.proxies.trusted_proxies == ()


def test_lists_and_repetitions_add_up() -> None:
    proxies = configure("--trusted-proxies", "10.0.0.0/8, ::1", "--trusted-proxies=unix").settings.proxies
    assert trusted_in(proxies.trusted_proxies) == Trusted(
        (ip_network("10.0.0.0/8"), ip_network("::1")), unix=True, anyone=False
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [("*", Trusted((), False, True)), ("UNIX", Trusted((), True, False)), ("none", Trusted((), False, False))],
)
def test_words(value: str, expected: Trusted) -> None:
    assert trusted_in([value]) == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8', which is no network: its own address is 10.0.0.0/8"),
        (
            "proxy.example",
            "'proxy.example', which is no address, network, unix, * or none (host names are not looked up)",
        ),
        ("10.0.0.0/33", "'10.0.0.0/33', which is no address"),
        ("none, 10.0.0.1", "names proxies and none of them"),
    ],
)
def test_refusals_name_the_place(value: str, says: str) -> None:
    message = refusal("--trusted-proxies", value)
    assert "'trusted-proxies'" in message
    assert says in message


def test_forwarded_allow_ips_is_the_platforms_word() -> None:
    configuration = configure(environ={"FORWARDED_ALLOW_IPS": "127.0.0.1,::1"})
    assert configuration.settings.proxies.trusted_proxies == ("127.0.0.1,::1",)
    assert configuration.origins["trusted-proxies"] == "environment FORWARDED_ALLOW_IPS"


def test_forwarded_allow_ips_never_overrides() -> None:
    environ = {"FORWARDED_ALLOW_IPS": "*"}
    assert configure("--trusted-proxies=unix", environ=environ).settings.proxies.trusted_proxies == ("unix",)
    assert configure(environ={"FORWARDED_ALLOW_IPS": " "}).settings.proxies.trusted_proxies == ()


def test_a_wrong_forwarded_allow_ips_is_named() -> None:
    assert "environment FORWARDED_ALLOW_IPS: 'trusted-proxies' has 'lb'" in refusal(
        environ={"FORWARDED_ALLOW_IPS": "lb"}
    )


def test_headers() -> None:
    assert headers_in("X-Forwarded-Proto x-forwarded-for") == ("x-forwarded-for", "x-forwarded-proto")
    assert headers_in("forwarded, x-forwarded-prefix") == ("x-forwarded-prefix", "forwarded")


@pytest.mark.parametrize(
    ("value", "says"),
    [("x-real-ip", "has no 'x-real-ip'"), ("forwarded, x-forwarded-for", "names both forwarded and x-forwarded-for")],
)
def test_headers_that_cannot_be(value: str, says: str) -> None:
    assert says in refusal("--trusted-proxies=*", "--trusted-proxy-headers", value)


def test_headers_without_proxies_have_no_effect() -> None:
    warnings = configure("--trusted-proxy-headers", "forwarded").warnings
    assert any("'trusted-proxy-headers' has no effect without 'trusted-proxies'" in warning for warning in warnings)


def test_proxy_protocol_needs_somebody_to_trust() -> None:
    assert "'enable-proxy-protocol' needs 'trusted-proxies'" in refusal("--enable-proxy-protocol")
    settings = configure("--enable-proxy-protocol", "--trusted-proxies=*", "--http-socket=:1").settings
    assert settings.proxies.enable_proxy_protocol


def test_proxy_protocol_is_about_http_sockets() -> None:
    warnings = configure("--enable-proxy-protocol", "--trusted-proxies=*", "--socket=:1").warnings
    assert any("'enable-proxy-protocol' is about http-socket" in warning for warning in warnings)
