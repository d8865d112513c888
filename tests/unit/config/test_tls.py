"""What https-socket, sni and their like accept, and how they say no."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.known import not_available
from uwsgi_deploy.config.tls import (
    CertificateFiles,
    address_and_files_of,
    files_of,
    matched_of,
    named_of,
    named_parts_of,
)
from uwsgi_deploy.types import Protocol


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c.crt,k.key", CertificateFiles("c.crt", "k.key")),
        (" c.crt , k.key , HIGH:!aNULL ", CertificateFiles("c.crt", "k.key", "HIGH:!aNULL")),
        ("c,k,,ca.pem", CertificateFiles("c", "k", "", "ca.pem")),
        ("c,k,HIGH,!ca.pem", CertificateFiles("c", "k", "HIGH", "ca.pem", is_required=True)),
    ],
)
def test_files(text: str, expected: CertificateFiles) -> None:
    assert files_of(text) == expected
    assert address_and_files_of(f"127.0.0.1:443,{text}") == ("127.0.0.1:443", expected)
    named = named_of(f"WWW.Example.com. {text}")
    assert (named.name, named.files) == ("www.example.com", expected)
    matched = matched_of(f"^a.*b$ {text}")
    assert matched.pattern is not None
    assert (matched.pattern.pattern, matched.files) == ("^a.*b$", expected)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--https-socket", ":443", "'https-socket' needs 'address,certificate,key', not ':443'"),
        ("--https-socket", ":443,c", "'https-socket' needs 'certificate,key'"),
        ("--https-socket", ":443,c,k,x,y,z", "'https-socket' needs 'certificate,key'"),
        ("--https-socket", ":443,c,k,,!", "'https-socket' needs the file of an authority behind the '!'"),
        ("--sni", "www.example.com", "'sni' needs a host and its files"),
        ("--sni", "www/example c,k", "'sni' needs the name of a host"),
        ("--sni", "*.*.example c,k", "'sni' needs the name of a host"),
        ("--https", ":443,c", "'https' needs 'certificate,key'"),
        ("--https2", "addr=:443,cert=c", "'https2' has no key"),
        ("--https2", "addr=:443,cert=c,key=k,spdy=1", "'https2' needs 'addr=...,cert=...,key=...', and knows"),
        ("--sni-regexp", "( c,k", "'sni-regexp' has no valid regular expression, '('"),
    ],
)
def test_refusals(option: str, value: str, says: str) -> None:
    socket = () if option.startswith("--https") else ("--https-socket", ":443,c,k")
    assert says in refusal(*socket, option, value)


def test_address_is_what_is_listened_on() -> None:
    sockets = configure("--https-socket", "127.0.0.1:443,c,k,,!ca").settings.sockets
    assert sockets.addresses["https-socket"] == ("127.0.0.1:443",)
    assert sockets.spoken("https-socket") is Protocol.HTTP


def test_router_has_them_too() -> None:
    """In the order in which they are bound: by that a listener knows its certificate."""
    settings = configure(
        *("--http-to-https", ":80", "--https", ":443,c,k", "--http", ":8080"),
        *("--https2", "addr=:8443, crt=c, key=k, client_ca=!ca", "--https-socket", ":444,c,k"),
    ).settings
    http = Protocol.HTTP
    assert settings.listening == (
        ("https-socket", ":444", http),
        ("http", ":8080", http),
        ("https", ":443", http),
        ("https2", ":8443", http),
        ("http-to-https", ":80", http),
    )
    assert settings.speaks_tls
    assert named_parts_of(settings.gateway.https2[0]) == (
        ":8443",
        CertificateFiles("c", "k", "", "ca", is_required=True),
    )
    assert not configure("--http-to-https", ":80", "--http", ":81").settings.speaks_tls


def test_options_without_an_address_are_told() -> None:
    warnings = configure("--http-socket", ":80", "--hsts", "1h", "--sni", "a c,k").warnings
    assert [w for w in warnings if "'hsts' has no effect without https-socket or https" in w]
    assert [w for w in warnings if "'sni' has no effect without https-socket or https" in w]


def test_weaker_tls_is_refused_with_a_reason() -> None:
    assert "clients need TLS 1.2" in not_available("ssl-enable-tlsv1")
    assert "Python's ssl module" in not_available("ssl-verify-depth")
