"""The servers that a router forwards to, and which of them gets a request: the least busy one, in proportion to its
weight, that could be reached lately; others are asked when none of these is left, the fallbacks last.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import EAGAIN
from typing import Any

from uwsgi_deploy.config.servers import parse_server
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.gateway.upstream import Target
from uwsgi_deploy.net.address import InheritedAddress, TcpAddress, parse_address
from uwsgi_deploy.types import Protocol

# A name is looked up again at most this often, when its server cannot be reached. Seconds.
_LOOKUP_PAUSE = 10.0
_MOST_KEYS = 1024


@dataclass(slots=True, eq=False)
class Backend:
    """One server. Its counters are for the statistics, but for `active`: its requests at this moment.

    dead_until: monotonic seconds up to which it is left alone, because it could not be reached.
    """

    name: str
    speaks: Protocol
    weight: int = 1
    is_local: bool = False
    active: int = 0
    requests: int = 0
    failures: int = 0
    sent: int = 0
    received: int = 0
    dead_until: float = 0.0
    _targets: tuple[Target, ...] = ()
    _looked_up: float = float("-inf")
    _lookup: threading.Thread | None = None

    def target(self, now: float) -> Target:
        """Where to connect. Raises OSError for a name without an address, BlockingIOError while it is looked up."""
        if not self._targets:
            self.look_up(now)
        if not self._targets:
            if self._lookup is not None and self._lookup.is_alive():
                raise BlockingIOError(EAGAIN, f"the address of {self.name} is being looked up")
            raise OSError(f"the host name of {self.name} has no address")
        return self._targets[0]

    def look_up(self, now: float) -> None:
        """Find the addresses, those of a name from time to time, and without waiting for them."""
        if not _is_name(self.name):
            self._targets = self._targets or tuple(targets_of(self.name))
        elif now - self._looked_up >= _LOOKUP_PAUSE:
            self._looked_up = now
            self._lookup = threading.Thread(target=self._look_up, name="uWSGI http lookup", daemon=True)
            self._lookup.start()

    def _look_up(self) -> None:
        try:
            self._targets = tuple(targets_of(self.name))
        except OSError:
            return  # who connects finds out; an address that was found before may still be good

    def rotate(self) -> None:
        """Another address of the same name next time."""
        self._targets = self._targets[1:] + self._targets[:1]


def _is_name(text: str) -> bool:
    """Whether somebody has to be asked for the address."""
    address = parse_address(text)
    return isinstance(address, TcpAddress) and not address.is_ipv6 and address.host.strip("0123456789.") != ""


def backend_of(text: str, option: str, speaks: Protocol) -> Backend:
    """The server that an option's text means. Raises ConfigError."""
    server = parse_server(text, option)
    return Backend(server.address, speaks, server.weight)


def targets_of(text: str) -> Iterator[Target]:
    """What an address text means to connect(2). Raises OSError for a name without an address, ConfigError."""
    address = parse_address(text)
    if isinstance(address, InheritedAddress):
        raise ConfigError(text, "a server to forward to cannot be an inherited socket")
    if not isinstance(address, TcpAddress):
        yield socket.AF_UNIX, "\0" + address.path if address.abstract else address.path
        return
    host = address.host or "127.0.0.1"
    try:
        # As bytes: for text the interpreter loads its tables of international names.
        asked = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(asked, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(str(error)) from None
    for family, _, _, _, where in found:
        yield family, where


class Balancer:
    """Chooses among the servers. gracetime: seconds that one that could not be reached is left alone."""

    def __init__(self, backends: Sequence[Backend], fallbacks: Sequence[Backend], *, gracetime: float) -> None:
        self.backends, self.fallbacks = tuple(backends), tuple(fallbacks)
        self._gracetime = gracetime

    def choose(self, _host: str, tried: Sequence[Backend], now: float) -> Backend | None:
        """The server for a request that those in `tried` could not take; None when nobody is left."""
        for group in (self.backends, self.fallbacks):
            left = [backend for backend in group if backend not in tried]
            # With nobody else to ask, one that could not be reached is asked all the same.
            if chosen := _least_busy(one for one in left if one.dead_until <= now) or _least_busy(left):
                return chosen
        return None

    def unreachable(self, backend: Backend, now: float) -> None:
        """It could not be reached."""
        backend.failures += 1
        backend.rotate()
        backend.look_up(now)
        if not backend.is_local:
            backend.dead_until = now + self._gracetime

    def all(self) -> Iterable[Backend]:
        """Every server, for the statistics."""
        return (*self.backends, *self.fallbacks)


def _least_busy(backends: Iterable[Backend]) -> Backend | None:
    return min(backends, key=lambda one: ((one.active + 1) / one.weight, one.requests / one.weight), default=None)


class KeyedBalancer(Balancer):
    """The Host field says which server (http-use-base, http-use-pattern), or another key; fallbacks for what
    it does not lead to. fold: what makes keys alike that mean the same."""

    def __init__(
        self,
        address_of: Callable[[str], str],
        make: Callable[[str], Backend],
        fallbacks: Sequence[Backend],
        *,
        gracetime: float,
        fold: Callable[[str], str] = str.lower,
    ) -> None:
        super().__init__((), fallbacks, gracetime=gracetime)
        self._address_of, self._make, self._fold = address_of, make, fold
        self._by_host: dict[str, Backend] = {}

    def choose(self, host: str, tried: Sequence[Backend], now: float) -> Backend | None:
        """See `Balancer.choose`."""
        if not tried and (backend := self._find(self._fold(host))) is not None:
            return backend
        return super().choose(host, tried, now)

    def _find(self, host: str) -> Backend | None:
        if not host:
            return None
        backend = self._by_host.get(host)
        if backend is None:
            if len(self._by_host) >= _MOST_KEYS:
                self._by_host = {key: one for key, one in self._by_host.items() if one.active}
            try:
                backend = self._make(self._address_of(host))
                parse_address(backend.name)
            except ConfigError:  # what the client made up is no address
                return None
            self._by_host[host] = backend
        return backend

    def unreachable(self, backend: Backend, now: float) -> None:
        """See `Balancer.unreachable`. Whoever asks for a host is told at once that nobody is there."""
        backend.failures += 1
        backend.look_up(now)

    def all(self) -> Iterable[Backend]:
        """See `Balancer.all`."""
        return (*self._by_host.values(), *self.fallbacks)


def describe(backend: Backend, now: float) -> dict[str, Any]:
    """A server as the statistics show it: uWSGI's keys first, then ours."""
    return {
        "name": backend.name,
        "hits": backend.requests,
        "grace": max(0, round(backend.dead_until - now)),
        "weight": backend.weight,
        "active": backend.active,
        "failures": backend.failures,
        "tx": backend.sent,
        "rx": backend.received,
    }
