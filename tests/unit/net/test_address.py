"""The addresses people write, and what is said to those that are none."""

from __future__ import annotations

import pytest

from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.net.address import (
    UNIX_PATH_LIMIT,
    InheritedAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
)

GOOD = [
    (":8000", TcpAddress("", 8000)),
    ("*:80", TcpAddress("", 80)),
    (" 127.0.0.1:8000 ", TcpAddress("127.0.0.1", 8000)),
    ("127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
    ("0:8001", TcpAddress("0", 8001)),
    ("localhost:65535", TcpAddress("localhost", 65535)),
    ("my-host.example.org:80", TcpAddress("my-host.example.org", 80)),
    ("[::1]:8000", TcpAddress("::1", 8000)),
    ("[::]:8000", TcpAddress("::", 8000)),
    ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80)),
    ("[::ffff:127.0.0.1]:80", TcpAddress("::ffff:127.0.0.1", 80)),
    ("/run/app.sock", UnixAddress("/run/app.sock")),
    ("app.sock", UnixAddress("app.sock")),
    ("./run/app.sock", UnixAddress("./run/app.sock")),
    ("./localhost", UnixAddress("./localhost")),
    ("localhost.sock", UnixAddress("localhost.sock")),
    ("/run/with:colon.sock", UnixAddress("/run/with:colon.sock")),
    ("/run/a:80", UnixAddress("/run/a:80")),
    ("@name", UnixAddress("name", abstract=True)),
    ("@name:with:colons", UnixAddress("name:with:colons", abstract=True)),
    ("\\0name", UnixAddress("name", abstract=True)),
    ("fd://3", InheritedAddress(3)),
    ("x" * UNIX_PATH_LIMIT, UnixAddress("x" * UNIX_PATH_LIMIT)),
]

BAD = [
    ("", "empty"),
    ("   ", "empty"),
    ("8000", "did you mean :8000"),
    ("localhost", "has no port.*localhost:8000"),
    ("127.0.0.1", "has no port.*127.0.0.1:8000"),
    (":", "no port number"),
    (":http", "'http'"),
    (":-1", "no port number"),
    (":65536", "above 65535"),
    ("::1:8000", r"\[::1\]:8000"),
    ("[::1]", "has no port"),
    ("[::1]:", "no port number"),
    ("[::1]8000", "no IPv6 address"),
    ("[localhost]:80", "no IPv6 address"),
    ("[::1", "no IPv6 address"),
    ("http://localhost:80", "is a URL"),
    ("fd://x/y", "is a URL"),
    ("bad host:80", "no host name"),
    ("@", "is empty"),
    ("/run/" + "x" * UNIX_PATH_LIMIT, "may have 107 bytes"),
    ("a\0b", "NUL"),
]


@pytest.mark.parametrize(("text", "address"), GOOD)
def test_reads(text: str, address: object) -> None:
    """What people write for an address is read as they mean it."""
    assert parse_address(text) == address


@pytest.mark.parametrize(("text", "message"), BAD)
def test_refuses(text: str, message: str) -> None:
    """What is no address is refused with its origin and a way out."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_address(text, "app.ini:3")
    assert str(caught.value).startswith("app.ini:3: ")


@pytest.mark.parametrize("text", [":8000", "127.0.0.1:0", "[::1]:80", "/run/x.sock", "@name", "fd://3"])
def test_prints_as_written(text: str) -> None:
    """An address prints in the form it is written in."""
    assert str(parse_address(text)) == text
