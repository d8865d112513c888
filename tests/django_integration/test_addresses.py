"""The grammar of what runuwsgi takes without dashes, and what can be told from an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management.base import CommandError

from django_integration.addresses import Defaults, describe, is_public, parse

IPV4 = Defaults("127.0.0.1", "::1")
IPV6 = Defaults("127.0.0.1", "::1", ipv6=True)


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("8001", "http-socket", "127.0.0.1:8001"),
        ("0:8001", "http-socket", "0.0.0.0:8001"),
        ("0.0.0.0:8001", "http-socket", "0.0.0.0:8001"),
        ("localhost:8001", "http-socket", "localhost:8001"),
        ("blog.example.com:8001", "http-socket", "blog.example.com:8001"),
        ("[::1]:8001", "http-socket", "[::1]:8001"),
        ("unix:/run/blog.sock", "http-socket", "/run/blog.sock"),
        ("unix:///run/blog.sock", "http-socket", "/run/blog.sock"),
        ("unix:/run/a=b.sock", "http-socket", "/run/a=b.sock"),
        ("unix:@blog", "http-socket", "@blog"),
        ("fd://3", "http-socket", "fd://3"),
        ("http=8001", "http-socket", ":8001"),
        ("http=:8001", "http-socket", ":8001"),
        ("http=127.0.0.1:8001", "http-socket", "127.0.0.1:8001"),
        ("http-socket=8001", "http-socket", ":8001"),
        ("socket=/run/blog.sock", "socket", "/run/blog.sock"),
        ("socket=127.0.0.1:3031", "socket", "127.0.0.1:3031"),
        ("processes=4", "processes", "4"),
    ],
)
def test_address(text: str, option: str, value: str) -> None:
    """runserver's forms, Unix sockets, and the first django-uwsgi's name=value."""
    parsed = parse(text, IPV4)
    assert (parsed.name, parsed.value) == (option, value)


def test_unix_socket_is_relative_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server changes its directory; the path that was typed stays where it was meant."""
    monkeypatch.chdir(tmp_path)
    assert parse("unix:blog.sock", IPV4).value == str(tmp_path / "blog.sock")


@pytest.mark.parametrize(
    ("text", "value"), [("8001", "[::1]:8001"), ("[::]:8001", "[::]:8001"), ("ip6-localhost:8001", "[::1]:8001")]
)
def test_ipv6(text: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """-6 changes what is left out, and asks names for an IPv6 address."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(10, 1, 6, "", ("::1", 0, 0, 0))])
    assert parse(text, IPV6).value == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blog", '"blog" is not a valid port number or address:port pair.'),
        ("::1:8001", '"::1:8001" is not a valid port number or address:port pair.'),
        ("70000", "'70000' is not a valid port number."),
        (":8001", '":8001" is not a valid port number or address:port pair. All interfaces are 0:8001.'),
        ("unix:", '"unix:" names no path; a Unix socket is unix:/path.'),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """runserver's sentences, and a hint where uWSGI's grammar was meant."""
    with pytest.raises(CommandError) as raised:
        parse(text, IPV4)
    assert str(raised.value) == message


def test_ipv6_contradiction() -> None:
    """-6 with an IPv4 address cannot be obeyed."""
    with pytest.raises(CommandError, match=r'^"127\.0\.0\.1" is not a valid IPv6 address\.$'):
        parse("127.0.0.1:8001", IPV6)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (":8000", True),
        ("*:8000", True),
        ("0.0.0.0:8000", True),
        ("[::]:8000", True),
        ("192.0.2.1:8000", True),
        ("blog.example.com:8000", True),
        ("127.0.0.1:8000", False),
        ("127.1.2.3:8000", False),
        ("[::1]:8000", False),
        ("localhost:8000", False),
        ("/run/blog.sock", False),
        ("@blog", False),
        ("fd://3", False),
    ],
)
def test_public(address: str, public: bool) -> None:
    """Whether other machines can reach an address."""
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (":8000", "http://0.0.0.0:8000/"),
        ("[::1]:8000", "http://[::1]:8000/"),
        ("/run/blog.sock", "/run/blog.sock"),
        ("fd://3", "fd://3"),
    ],
)
def test_description(address: str, text: str) -> None:
    """What the banner prints can be opened."""
    assert describe(address) == text
