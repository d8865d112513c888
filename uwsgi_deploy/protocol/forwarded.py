"""Who the client is behind proxies: X-Forwarded-* and Forwarded (RFC 7239), believed of trusted peers only.

A codec around another codec, made for each connection. It is loaded only when `trusted-proxies` is set. Its rules:

- Only a trusted peer is believed, and only in the headers that were named; all others of the family never reach the
  application.
- The chain of addresses is read from the right, where the peer that is trusted wrote: the first one that is no trusted
  proxy is the client. What stands to its left is the client's own word, and is removed. An entry that is no address
  ends the walk: then the proxy that reported it is the client, never somebody whom a stranger made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, NamedTuple, TypeAlias

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.http1 import is_host, unquote
from uwsgi_deploy.protocol.messages import Codec, Environ, RequestHead

FAMILY = {
    "x-forwarded-for": "HTTP_X_FORWARDED_FOR",
    "x-forwarded-proto": "HTTP_X_FORWARDED_PROTO",
    "x-forwarded-host": "HTTP_X_FORWARDED_HOST",
    "x-forwarded-port": "HTTP_X_FORWARDED_PORT",
    "x-forwarded-prefix": "HTTP_X_FORWARDED_PREFIX",
    "forwarded": "HTTP_FORWARDED",
}
"""Header to variable, of all that a trusted proxy may be believed in."""

CHAIN = FAMILY["x-forwarded-for"]
_PLACE = tuple(variable for variable in FAMILY.values() if variable != CHAIN)

# What frameworks and applications also take for a proxy's word: removed from everybody who is none.
_RELATED = (
    "HTTP_X_FORWARDED",
    "HTTP_X_FORWARDED_BY",
    "HTTP_X_FORWARDED_PROTOCOL",
    "HTTP_X_FORWARDED_SCHEME",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_REAL_IP",
)
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}  # Traefik's word for WebSockets
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_MOST_HOPS = 32
_REMEMBERED = 1024
_LONGEST_REMEMBERED = 512

_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}|_[A-Za-z0-9._\-]+))?", re.ASCII)
_MAPPED = bytes(10) + b"\xff\xff"
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+;=:@%]+)*/?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*(?:([;,])[ \t]*|\Z)')
_ESCAPED = re.compile(r"\\(.)")

Key: TypeAlias = tuple[str | None, ...]


class Node(NamedTuple):
    """An address in a chain, also as the kernel writes it, and its port if it is known."""

    address: str
    packed: bytes
    port: str


class Trust:
    """Who is believed. anyone and unix speak of the connection's own peer, networks of every address in a chain."""

    __slots__ = ("_masks", "anyone", "unix")

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network], *, unix: bool, anyone: bool) -> None:
        self.unix, self.anyone = unix, anyone
        # By size of an address: masks with their networks, all as numbers. `address in network` costs as much as a
        # whole request head, and this the same for one network or a thousand of the same length.
        masks: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
        for network in networks:
            of_size = masks[network.max_prefixlen // 8]
            of_size.setdefault(int(network.netmask), set()).add(int(network.network_address))
        self._masks = {size: tuple(of_size.items()) for size, of_size in masks.items()}

    def includes(self, address: str) -> bool:
        """Whether an address that somebody else vouches for is a trusted proxy's; "" or `unix:` is a Unix socket's."""
        if address in ("", "unix:"):
            return self.unix
        node = parse_node(address)
        return node is not None and self.holds(node.packed)

    def includes_peer(self, address: str) -> bool:
        """Whether whoever connects from this address ("" through a Unix socket) is trusted."""
        return self.anyone or self.includes(address)

    def holds(self, packed: bytes) -> bool:
        """Whether one of the networks has this address."""
        number = int.from_bytes(packed, "big")
        for mask, networks in self._masks[len(packed)]:  # noqa: SIM110 - a generator costs as much again
            if number & mask in networks:
                return True
        return False


class Verdict(NamedTuple):
    """What a trusted peer's headers come to: variables to set, a path to put before SCRIPT_NAME, whether it is plain
    http for certain."""

    changes: dict[str, str]
    prefix: str
    is_plain: bool


class Forwarded:
    """The rules of a listener. `wrap` makes the codec of one connection. believed: headers, of `FAMILY`.

    Clients are many, and what proxies say of scheme and host is nearly always the same. So addresses and all else are
    looked at, and remembered, apart, where nothing but the order of addresses in a chain could connect them.
    """

    __slots__ = ("_believed", "_chains", "_places", "_proxies", "_reads_chains", "_remembered", "trust")

    def __init__(self, trust: Trust, believed: Sequence[str]) -> None:
        self.trust = trust
        self._believed = frozenset(FAMILY[header] for header in believed)
        self._reads_chains = CHAIN in self._believed
        self._remembered: dict[Key, Verdict] = {}
        self._places: dict[Key, Verdict] = {}
        self._chains: dict[str, dict[str, str]] = {}
        self._proxies: dict[str, Node] = {}  # the trusted ones among the addresses of chains

    def wrap(self, codec: Codec, address: Any) -> Codec:
        """A codec for one connection, whose peer's address is as accept(2) gives it."""
        return ForwardedCodec(codec, self, is_trusted=self.trust.includes_peer(peer_of(address)))

    def apply(self, environ: Environ, *, trusted: bool) -> None:
        """Make the environ tell of the client, and remove what is not to be believed. Raises ProtocolError."""
        pop = environ.pop
        chain = pop(CHAIN, None)
        place: Key = tuple([pop(variable, None) for variable in _PLACE])
        if not trusted:
            for variable in _RELATED:
                pop(variable, None)
            return
        verdict = self._places.get(place)
        if verdict is None and self._stands_alone(place):
            verdict = self._remember(self._places, place, self._decide((None, *place)))
        if verdict is None:
            key: Key = (chain, *place)
            verdict = self._remembered.get(key) or self._remember(self._remembered, key, self._decide(key))
        elif chain and self._reads_chains:
            client = self._chains.get(chain)
            if client is None:
                client = self._client_of(chain)
            environ.update(client)
        environ.update(verdict.changes)
        if verdict.prefix:
            environ["SCRIPT_NAME"] = verdict.prefix + environ["SCRIPT_NAME"]
        if verdict.is_plain:
            pop("HTTPS", None)

    def _stands_alone(self, place: Key) -> bool:
        """Whether what is said of scheme and host is one word each, and no list with an entry for each hop."""
        for variable, value in zip(_PLACE, place, strict=True):
            if value and variable in self._believed and (variable == "HTTP_FORWARDED" or "," in value):
                return False
        return True

    def _remember(self, where: dict[Key, Verdict], key: Key, verdict: Verdict) -> Verdict:
        if sum([len(value) for value in key if value]) <= _LONGEST_REMEMBERED:
            if len(where) >= _REMEMBERED:
                where.clear()
            where[key] = verdict
        return verdict

    def _client_of(self, chain: str) -> dict[str, str]:
        """What a chain of addresses says of the client; remembered."""
        changes: dict[str, str] = {}
        self._read_chain(chain, changes)
        if len(chain) <= _LONGEST_REMEMBERED:
            if len(self._chains) >= _REMEMBERED:
                self._chains.clear()
            self._chains[chain] = changes
        return changes

    def _decide(self, key: Key) -> Verdict:
        said = {
            variable: value
            for variable, value in zip(FAMILY.values(), key, strict=True)
            if value and variable in self._believed
        }
        changes: dict[str, str] = {}
        if (field := said.get("HTTP_FORWARDED")) is not None:
            self._read_forwarded(field, changes)
        else:
            self._read_x_forwarded(said, changes)
        if (port := said.get("HTTP_X_FORWARDED_PORT")) and _PORT.fullmatch(port) and 0 < int(port) < 65536:
            changes["SERVER_PORT"] = changes["HTTP_X_FORWARDED_PORT"] = str(int(port))
        path = None
        if prefix := said.get("HTTP_X_FORWARDED_PREFIX"):
            path = prefix_path(prefix)
            if path is not None:
                changes["HTTP_X_FORWARDED_PREFIX"] = prefix
        return Verdict(changes, path or "", changes.get("wsgi.url_scheme") == "http")

    def _read_x_forwarded(self, said: dict[str, str], changes: dict[str, str]) -> None:
        chain = said.get(CHAIN)
        at, hops = (0, 0) if chain is None else self._read_chain(chain, changes)
        scheme = _SCHEMES.get(_at_hop(said.get("HTTP_X_FORWARDED_PROTO", ""), at, hops).lower())
        host = _at_hop(said.get("HTTP_X_FORWARDED_HOST", ""), at, hops)
        if scheme:
            changes["HTTP_X_FORWARDED_PROTO"] = scheme
        if host and is_host(host):
            changes["HTTP_X_FORWARDED_HOST"] = host
        _set_place(scheme, host, changes)

    def _read_chain(self, chain: str, changes: dict[str, str]) -> tuple[int, int]:
        """Where in it the client is, and how many hops there are.

        From the right, and no further than to the first one who is no trusted proxy: who stands to the left of that one
        may have written anything, and much of it.
        """
        hops = at = chain.count(",") + 1
        text, comma, believed, client = chain, ",", "", None
        while comma and hops - at < _MOST_HOPS:
            text, comma, entry = text.rpartition(",")
            entry = entry.strip()
            proxy = self._proxies.get(entry)
            node = proxy or parse_node(entry)
            if node is None:
                break
            at, client, believed = at - 1, node, f"{entry}, {believed}" if believed else entry
            if comma and proxy is None:
                if not self.trust.holds(node.packed):
                    break
                self._remember_proxy(entry, node)
        if client is not None:
            _set_client(client, changes)
            changes[CHAIN] = believed
        return at, hops

    def _remember_proxy(self, entry: str, node: Node) -> None:
        if len(self._proxies) >= _REMEMBERED:
            self._proxies.clear()
        if len(entry) <= _LONGEST_REMEMBERED:
            self._proxies[entry] = node

    def _read_forwarded(self, field: str, changes: dict[str, str]) -> None:
        elements = parse_forwarded(field)
        nodes = [parse_node(parameters.get("for", "")) for parameters, _ in elements[-_MOST_HOPS:]]
        at, client = self._client(nodes, len(elements))
        if client is not None:
            _set_client(client, changes)
        # An element without a readable `for` was still written by a peer that is trusted, or was seen by one.
        at = min(at, len(elements) - 1)
        said, _ = elements[at]
        changes["HTTP_FORWARDED"] = ", ".join(text for _, text in elements[at:])
        _set_place(_SCHEMES.get(said.get("proto", "").lower()), said.get("host", ""), changes)

    def _client(self, nodes: Sequence[Node | None], hops: int) -> tuple[int, Node | None]:
        """Where in a chain of `hops` the client is, whose last addresses are `nodes`; None: nothing there is read."""
        first = hops - len(nodes)
        at, client = hops, None
        for index in range(len(nodes) - 1, -1, -1):
            node = nodes[index]
            if node is None:
                break
            at, client = first + index, node
            if not self.trust.holds(node.packed):
                break
        return at, client


class ForwardedCodec:
    """See the module. is_trusted: whether whoever sends on this connection is, where the codec names nobody else."""

    __slots__ = ("_codec", "_is_trusted", "_rules")

    def __init__(self, codec: Codec, rules: Forwarded, *, is_trusted: bool) -> None:
        self._codec, self._rules, self._is_trusted = codec, rules, is_trusted

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        head = self._codec.decode(data)
        if head is not None:
            environ = head[0]
            # A web server that speaks uwsgi names its own client: then it is that one's word, and not the server's.
            named = environ["REMOTE_ADDR"]
            trusted = self._is_trusted if named is None else self._rules.trust.includes(named)
            self._rules.apply(environ, trusted=trusted)
        return head


def peer_of(address: Any) -> str:
    """The address in what accept(2) gives, IPv4 also of a dual-stack socket; "" for a Unix socket's."""
    host: str = address[0] if isinstance(address, tuple) else ""
    return host[7:] if host.startswith("::ffff:") else host


def parse_node(text: str) -> Node | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80` (RFC 7239 §6); None for anything else."""
    if ":" not in text:  # nearly always: an IPv4 address, which has one spelling only
        try:
            return Node(text, inet_pton(AF_INET, text), "")
        except (OSError, ValueError):
            return None
    host, port = text, ""
    if text[:1] == "[" or text.count(":") == 1:
        match = _NODE.fullmatch(text)
        if match is None:
            return None
        bracketed, plain, port = match[1], match[2], match[3] or ""
        host = bracketed or plain
        if (bracketed and ":" not in bracketed) or (port.isdigit() and int(port) > 65535):
            return None
    family = AF_INET6 if ":" in host else AF_INET
    try:
        packed = inet_pton(family, host)
    except (OSError, ValueError):
        return None
    if packed[:12] == _MAPPED and family is AF_INET6:
        family, packed = AF_INET, packed[12:]
    return Node(inet_ntop(family, packed), packed, port if port.isdigit() else "")


def parse_forwarded(field: str) -> list[tuple[dict[str, str], str]]:
    """The elements of a Forwarded field: parameters, and the text. Raises ProtocolError for what is not RFC 7239's.

    Not left out: a quotation mark that a client left open would hide what the proxy put behind it.
    """
    elements: list[tuple[dict[str, str], str]] = []
    parameters: dict[str, str] = {}
    start = at = 0
    while at < len(field):
        pair = _PAIR.match(field, at)
        if pair is None or pair[1].lower() in parameters:
            raise ProtocolError(400, "a malformed Forwarded field")
        name, token, quoted, end = pair.groups()
        parameters[name.lower()] = token if token is not None else _ESCAPED.sub(r"\1", quoted)
        at = pair.end()
        if end != ";":
            elements.append((parameters, field[start : pair.start(4) if end else at].strip()))
            parameters, start = {}, at
        if end and at == len(field):
            raise ProtocolError(400, "a malformed Forwarded field")
    return elements


def prefix_path(text: str) -> str | None:
    """The path at which a proxy has mounted the application, decoded and without its last slash; None for no path."""
    if not _PREFIX.fullmatch(text):
        return None
    path = unquote(text.removesuffix("/").encode("latin-1")).decode("latin-1")
    is_plain = not _CONTROL.search(path) and "//" not in path and not {".", ".."}.intersection(path.split("/"))
    return path if is_plain else None


def _at_hop(value: str, at: int, hops: int) -> str:
    """Of a list with an entry for each hop the client's; otherwise the last one, which the peer itself wrote."""
    entries = value.split(",")
    return entries[at if len(entries) == hops and at < hops else -1].strip()


def _set_client(client: Node, changes: dict[str, str]) -> None:
    changes["REMOTE_ADDR"], changes["REMOTE_PORT"] = client.address, client.port


def _set_place(scheme: str | None, host: str, changes: dict[str, str]) -> None:
    """What the client asked for: with which scheme, and of which host."""
    if scheme is not None:
        changes["wsgi.url_scheme"] = scheme
        if scheme == "https":
            changes["HTTPS"] = "on"
    if host and is_host(host):
        name, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host, ""
        changes["HTTP_HOST"], changes["SERVER_NAME"] = host, name
        if port or scheme:
            changes["SERVER_PORT"] = port or _DEFAULT_PORTS[scheme or "http"]
