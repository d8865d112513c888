"""What trusted proxies say of their clients is believed as far as the chain goes; what strangers say is not."""

from __future__ import annotations

import random
from ipaddress import ip_network
from typing import Any

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.forwarded import FAMILY, Forwarded, Trust, parse_forwarded, parse_node, prefix_path
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.uwsgi import UwsgiCodec, encode_variables

PROXY, STRANGER = ("10.0.0.1", 4000), ("203.0.113.66", 4000)
BASE = {"SCRIPT_NAME": "", "REMOTE_ADDR": None, "REMOTE_PORT": None, "wsgi.url_scheme": "http", "SERVER_PORT": "8000"}
EVERYTHING = tuple(header for header in FAMILY if header != "forwarded")
TRUST = Trust((ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")), unix=False, anyone=False)


def ask(
    *headers: str, peer: Any = PROXY, trust: Trust = TRUST, believed: tuple[str, ...] = EVERYTHING, path: str = "/p"
) -> Environ:
    """The environ of a request with these headers."""
    http = Http1Codec(BASE, max_head=65536, max_line=8000, max_fields=100)
    codec = Forwarded(trust, believed).wrap(http, peer)
    lines = "".join(f"{header}\r\n" for header in headers)
    head = codec.decode(f"GET {path} HTTP/1.1\r\nHost: inside\r\n{lines}\r\n".encode("latin-1"))
    assert head is not None
    return head[0]


def address(*headers: str, **more: Any) -> str | None:
    found: str | None = ask(*headers, **more)["REMOTE_ADDR"]
    return found


def test_incomplete_head_stays_incomplete() -> None:
    http = Http1Codec(BASE, max_head=65536, max_line=8000, max_fields=100)
    assert Forwarded(TRUST, EVERYTHING).wrap(http, PROXY).decode(b"GET / HTTP/1.1\r\nHost:") is None


def test_trusted_proxy_names_its_client() -> None:
    environ = ask(
        "X-Forwarded-For: 198.51.100.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: www.example.com",
        "X-Forwarded-Prefix: /shop/",
    )
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("198.51.100.7", "")
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    assert (environ["HTTP_HOST"], environ["SERVER_NAME"]) == ("www.example.com", "www.example.com")
    assert environ["SERVER_PORT"] == "443"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/p")


def test_a_stranger_is_not_believed_and_its_headers_are_gone() -> None:
    names = [*FAMILY, "x-real-ip", "x-forwarded-ssl", "x-forwarded-scheme"]
    environ = ask(*(f"{name}: 198.51.100.7" for name in names), "Accept: */*", peer=STRANGER)
    assert environ["REMOTE_ADDR"] is None  # as its connection has it
    assert environ["wsgi.url_scheme"] == "http"
    assert [name for name in environ if "FORWARDED" in name or "REAL_IP" in name] == []
    assert environ["HTTP_ACCEPT"] == "*/*"


def test_what_is_not_named_as_a_proxys_header_never_arrives() -> None:
    """nginx passes X-Forwarded-Host and Forwarded on as the client sent them, unless it is told to set them."""
    environ = ask(
        "X-Forwarded-For: 198.51.100.7",
        "X-Forwarded-Host: evil",
        "Forwarded: for=9.9.9.9",
        believed=("x-forwarded-for",),
    )
    assert (environ["REMOTE_ADDR"], environ["HTTP_HOST"]) == ("198.51.100.7", "inside")
    assert [name for name in environ if "FORWARDED" in name] == ["HTTP_X_FORWARDED_FOR"]


@pytest.mark.parametrize(
    ("chain", "client", "kept"),
    [
        ("198.51.100.7", "198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7", "198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7, 10.2.3.4", "198.51.100.7", "198.51.100.7, 10.2.3.4"),
        ("198.51.100.7,10.2.3.4,10.0.0.9", "198.51.100.7", "198.51.100.7, 10.2.3.4, 10.0.0.9"),
        ("10.2.3.4, 10.0.0.9", "10.2.3.4", "10.2.3.4, 10.0.0.9"),  # a client within the trusted network
        ("127.0.0.1, 198.51.100.7", "198.51.100.7", "198.51.100.7"),
        ("garbage, 198.51.100.7", "198.51.100.7", "198.51.100.7"),
        ("garbage, 10.0.0.5", "10.0.0.5", "10.0.0.5"),  # never beyond what cannot be read
        ("8.8.8.8, unknown, 10.0.0.5", "10.0.0.5", "10.0.0.5"),
        ("8.8.8.8, , 10.0.0.5", "10.0.0.5", "10.0.0.5"),
        ("198.51.100.7:4711", "198.51.100.7", "198.51.100.7:4711"),
        ("[2001:db8::7]:4711", "2001:db8::7", "[2001:db8::7]:4711"),
        ("2001:DB8:0::7", "2001:db8::7", "2001:DB8:0::7"),
        ("::ffff:198.51.100.7, ::ffff:10.0.0.5", "198.51.100.7", "::ffff:198.51.100.7, ::ffff:10.0.0.5"),
        ("198.51.100.7, 2001:db8:1::1", "198.51.100.7", "198.51.100.7, 2001:db8:1::1"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxy(chain: str, client: str, kept: str) -> None:
    environ = ask(f"X-Forwarded-For: {chain}")
    assert environ["REMOTE_ADDR"] == client
    assert environ["HTTP_X_FORWARDED_FOR"] == kept


@pytest.mark.parametrize("chain", ["", "unknown", "garbage", "8.8.8.8, _hidden", "1.2.3.4.5", "1.2.3.4, ", "<script>"])
def test_a_chain_whose_end_is_no_address_leaves_the_proxy(chain: str) -> None:
    environ = ask(f"X-Forwarded-For: {chain}")
    assert environ["REMOTE_ADDR"] is None
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_several_fields_are_one_chain() -> None:
    assert address("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 198.51.100.7, 10.0.0.3") == "198.51.100.7"


def test_a_chain_of_thousands_is_read_to_a_bound() -> None:
    environ = ask("X-Forwarded-For: 8.8.8.8" + ", 10.0.0.1" * 3000)
    assert environ["REMOTE_ADDR"] == "10.0.0.1"
    assert environ["HTTP_X_FORWARDED_FOR"].count(",") == 31


def test_port_of_the_client() -> None:
    assert ask("X-Forwarded-For: 198.51.100.7:4711")["REMOTE_PORT"] == "4711"


def test_anyone_is_a_proxy_but_no_address_in_the_chain_is() -> None:
    """`*`, as on Heroku: only the peer's own entry counts, which a client cannot write."""
    anyone = Trust((), unix=False, anyone=True)
    assert address("X-Forwarded-For: 10.0.0.9, 198.51.100.7", peer=STRANGER, trust=anyone) == "198.51.100.7"


def test_unix_sockets_are_trusted_by_name() -> None:
    chain = "X-Forwarded-For: 198.51.100.7"
    assert address(chain, peer="", trust=Trust((), unix=True, anyone=False)) == "198.51.100.7"
    assert address(chain, peer="") is None
    assert address(chain, peer=STRANGER, trust=Trust((), unix=True, anyone=False)) is None


def test_ipv4_peer_of_a_dual_stack_socket() -> None:
    assert address("X-Forwarded-For: 198.51.100.7", peer=("::ffff:10.0.0.1", 1, 0, 0)) == "198.51.100.7"


@pytest.mark.parametrize(
    ("proto", "chain", "scheme"),
    [
        ("https", None, "https"),
        ("HTTPS", None, "https"),
        ("wss", None, "https"),
        ("http", None, "http"),
        ("http, https", None, "https"),  # the last one is the peer's own
        ("https, http", "198.51.100.7, 10.0.0.2", "https"),  # one for each hop: the client's
        ("http, https, http", "9.9.9.9, 198.51.100.7, 10.0.0.2", "https"),
        ("gopher", None, "http"),
        ("https://", None, "http"),
        ("", None, "http"),
    ],
)
def test_scheme(proto: str, chain: str | None, scheme: str) -> None:
    headers = [f"X-Forwarded-Proto: {proto}", *([f"X-Forwarded-For: {chain}"] if chain else [])]
    environ = ask(*headers)
    assert environ["wsgi.url_scheme"] == scheme
    assert environ.get("HTTPS") == ("on" if scheme == "https" else None)
    # Frameworks that look at the header themselves (Django's SECURE_PROXY_SSL_HEADER) see the same.
    assert environ.get("HTTP_X_FORWARDED_PROTO", "http") == scheme


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("www.example.com", "www.example.com", "8000"),
        ("www.example.com:8443", "www.example.com", "8443"),
        ("[2001:db8::1]", "[2001:db8::1]", "8000"),
        ("[2001:db8::1]:81", "[2001:db8::1]", "81"),
    ],
)
def test_host(host: str, name: str, port: str) -> None:
    environ = ask(f"X-Forwarded-Host: {host}")
    assert (environ["HTTP_HOST"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (host, name, port)


@pytest.mark.parametrize("host", ["", ":80", "a/b", "a b", "a@b", "exa<mple", "a:b:c", "[::1"])
def test_a_host_that_is_none_is_dropped(host: str) -> None:
    environ = ask(f"X-Forwarded-Host: {host}")
    assert environ["HTTP_HOST"] == "inside"
    assert "HTTP_X_FORWARDED_HOST" not in environ


@pytest.mark.parametrize(("port", "found"), [("8443", "8443"), ("0", "8000"), ("99999", "8000"), ("-1", "8000")])
def test_port(port: str, found: str) -> None:
    assert ask(f"X-Forwarded-Port: {port}")["SERVER_PORT"] == found


@pytest.mark.parametrize(
    "prefix",
    [
        "shop",
        "//evil.example",
        "/a/../b",
        "/./a",
        "/a b",
        "/a,/b",
        "/a?b",
        "/a#b",
        "/a//b",
        "/%2e%2e/a",
        "/a%2F%2Fb",
        "/a%0d%0ab",
        "/%00",
    ],
)
def test_a_prefix_that_is_no_path_is_dropped(prefix: str) -> None:
    assert prefix_path(prefix) is None
    assert ask(f"X-Forwarded-Prefix: {prefix}")["SCRIPT_NAME"] == ""


def test_prefix_is_decoded_as_paths_are() -> None:
    assert ask("X-Forwarded-Prefix: /caf%C3%A9")["SCRIPT_NAME"] == "/caf\xc3\xa9"
    assert ask("X-Forwarded-Prefix: /")["SCRIPT_NAME"] == ""


# -- RFC 7239 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "client"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=9.9.9.9, for=198.51.100.7, for=10.0.0.3", "198.51.100.7"),
        ('for=9.9.9.9;x="a,b;c", for=198.51.100.7', "198.51.100.7"),
        ('for="198.51.100.7:_port"', "198.51.100.7"),
        ("for=9.9.9.9, for=unknown, for=10.0.0.3", "10.0.0.3"),
        ("for=_hidden", None),
        ("proto=https", None),
        ("for=9.9.9.9, proto=https", None),
    ],
)
def test_forwarded(field: str, client: str | None) -> None:
    assert address(f"Forwarded: {field}", believed=("forwarded",)) == client


def test_forwarded_tells_scheme_and_host_of_the_clients_hop() -> None:
    field = (
        "for=9.9.9.9;proto=http;host=evil, for=198.51.100.7;proto=https;host=www.example.com, for=10.0.0.3;proto=http"
    )
    environ = ask(f"Forwarded: {field}", believed=("forwarded",))
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "www.example.com")
    assert environ["HTTP_FORWARDED"] == "for=198.51.100.7;proto=https;host=www.example.com, for=10.0.0.3;proto=http"


@pytest.mark.parametrize(
    "field",
    [
        'for="',
        'for=", for=10.0.0.3',
        "for",
        "for=a b",
        "=a",
        "for=1.1.1.1,",
        "for=1.1.1.1;",
        "for=1;for=2",
        "for=[::1]",
    ],
)
def test_malformed_forwarded_is_refused(field: str) -> None:
    """An open quotation mark that a client sent would hide what the proxy put behind it."""
    with pytest.raises(ProtocolError) as refused:
        ask(f"Forwarded: {field}", believed=("forwarded",))
    assert refused.value.status == 400


def test_a_stranger_cannot_have_a_malformed_forwarded_refused() -> None:
    assert "HTTP_FORWARDED" not in ask('Forwarded: for="', believed=("forwarded",), peer=STRANGER)


# -- uwsgi packets -----------------------------------------------------------------------------------------------------


def ask_uwsgi(peer: Any = PROXY, trust: Trust = TRUST, **variables: str) -> Environ:
    codec = Forwarded(trust, EVERYTHING).wrap(UwsgiCodec(BASE, max_head=65536), peer)
    head = codec.decode(encode_variables({"REQUEST_METHOD": "GET", **variables}))
    assert head is not None
    return head[0]


@pytest.mark.parametrize(
    ("named", "client"),
    [
        ("10.0.0.2", "198.51.100.7"),  # a load balancer is the client of the web server in front
        ("203.0.113.66", "203.0.113.66"),  # its own word does not count
        ("", ""),
        ("unix:", "unix:"),
        ("nonsense", "nonsense"),
    ],
)
def test_the_client_of_the_web_server_in_front_counts(named: str, client: str) -> None:
    assert ask_uwsgi(REMOTE_ADDR=named, HTTP_X_FORWARDED_FOR="198.51.100.7")["REMOTE_ADDR"] == client


def test_anyone_does_not_mean_the_clients_of_a_web_server() -> None:
    anyone = Trust((), unix=True, anyone=True)
    found = ask_uwsgi(trust=anyone, REMOTE_ADDR="203.0.113.66", HTTP_X_FORWARDED_FOR="9.9.9.9")
    assert found["REMOTE_ADDR"] == "203.0.113.66"
    assert "HTTP_X_FORWARDED_FOR" not in found
    assert ask_uwsgi(trust=anyone, HTTP_X_FORWARDED_FOR="9.9.9.9")["REMOTE_ADDR"] == "9.9.9.9"


def test_plain_http_of_the_client_beats_https_of_the_last_hop() -> None:
    found = ask_uwsgi(REMOTE_ADDR="10.0.0.2", HTTPS="on", HTTP_X_FORWARDED_PROTO="http", SCRIPT_NAME="/in")
    assert found["wsgi.url_scheme"] == "http"
    assert "HTTPS" not in found
    assert found["SCRIPT_NAME"] == "/in"


# -- anything ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4:99999", "[1.2.3.4]", "[::1", "::1]", "fe80::1%eth0", "1.2.3.4%1", "0x7f.1", "1.2.3.04"],
)
def test_what_is_no_address(text: str) -> None:
    assert parse_node(text) is None


def test_random_headers_never_do_more_than_be_refused() -> None:
    """Whatever stands in them, a trusted proxy's headers make a client of an address in them, or of nobody."""
    chance = random.Random(7239)
    alphabet = [
        "for=",
        '"',
        "\\",
        ";",
        ",",
        "=",
        "10.0.0.1",
        "8.8.8.8",
        "[::1]",
        ":80",
        "proto",
        "https",
        " ",
        "\t",
        "a",
    ]
    refused: set[str] = set()
    for _ in range(3000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(12))).strip()
        for name in FAMILY:
            believed = (name,)
            try:
                environ = ask(f"{name}: {text}", believed=believed)
            except ProtocolError:
                refused.add(name)
            else:
                assert environ["REMOTE_ADDR"] in (None, "10.0.0.1", "8.8.8.8", "::1")
        try:
            elements = parse_forwarded(text)
        except ProtocolError:
            continue
        assert all(isinstance(parameters, dict) for parameters, _ in elements)
    assert refused == {"forwarded"}


def test_what_is_remembered_changes_nothing() -> None:
    """One that has seen thousands of requests says what a fresh one says, and keeps a bounded part of them."""
    source = random.Random(11)
    hops = ("10.0.0.1", "10.9.9.9", "198.51.100.7", "2001:db8:1::5", "[2001:db8::1]:80", "unknown", " 10.1.1.1:5 ", "")
    words = {
        "x-forwarded-proto": ("https", "http", "https,http", "HTTPS", "nonsense"),
        "x-forwarded-host": ("a.example", "a.example, b.example:81", "b@d"),
        "x-forwarded-port": ("8443", "0"),
        "x-forwarded-prefix": ("/shop", "x"),
    }
    old = Forwarded(TRUST, EVERYTHING)
    for number in range(6000):
        chosen = [source.choice(hops) for _ in range(source.randrange(4))] or [f"203.0.{number >> 8}.{number & 255}"]
        said = {FAMILY["x-forwarded-for"]: ",".join(chosen)} if source.random() < 0.9 else {}
        said |= {FAMILY[name]: source.choice(known) for name, known in words.items() if source.random() < 0.4}
        first, second = ({**BASE, **said} for _ in range(2))
        old.apply(first, trusted=True)
        Forwarded(TRUST, EVERYTHING).apply(second, trusted=True)
        assert first == second, said
    memories = [getattr(old, name) for name in Forwarded.__slots__ if isinstance(getattr(old, name), dict)]
    assert len(memories) == 4
    assert all(0 < len(memory) <= 1024 for memory in memories)


def test_many_networks() -> None:
    trust = Trust([ip_network(f"10.{number}.0.0/16") for number in range(256)], unix=False, anyone=False)
    assert trust.includes("10.255.3.4")
    assert not trust.includes("11.0.0.1")
    assert not trust.includes("2001:db8::1")
