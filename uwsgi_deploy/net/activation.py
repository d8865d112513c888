"""Sockets that a service manager opened for us (sd_listen_fds(3)): which there are, and which one an address means.

`fd://web` means the socket that the manager calls web, or all of that name. An address that such a socket is bound to
already (`:8000`, `/run/app.sock`) means that socket, as in uWSGI. Opens nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from uwsgi_deploy.config.platform import ActivatedSocket
from uwsgi_deploy.errors import BindError
from uwsgi_deploy.net.address import Address, InheritedAddress, TcpAddress, UnixAddress

ANY_HOST = frozenset({"", "0.0.0.0"})


def resolve(address: Address, activated: Sequence[ActivatedSocket]) -> list[Address]:
    """The addresses that `address` stands for: itself, or sockets that are open already. BindError for a wrong name."""
    if isinstance(address, InheritedAddress):
        return _named(address, activated) if address.name else [address]
    same = [entry for entry in activated if _is_bound_to(entry.fd, address)]
    return [InheritedAddress(same[0].fd)] if same else [address]


def unused(activated: Sequence[ActivatedSocket], used: set[int]) -> list[str]:
    """A warning for each socket that nobody asked for: its clients would wait for ever."""
    return [
        f"*** WARNING: the service manager opened a socket that no option uses: fd {entry.fd}"
        f"{f' ({entry.name})' if entry.name else ''}; add http-socket = fd://{entry.name or entry.fd} ***"
        for entry in activated
        if entry.fd not in used
    ]


def _named(address: InheritedAddress, activated: Sequence[ActivatedSocket]) -> list[Address]:
    found: list[Address] = [InheritedAddress(entry.fd) for entry in activated if entry.name == address.name]
    if found:
        return found
    names = ", ".join(dict.fromkeys(entry.name for entry in activated if entry.name))
    if names:
        raise BindError(str(address), f"the service manager opened no socket of that name, but: {names}")
    raise BindError(
        str(address),
        "no service manager opened sockets for this process (LISTEN_FDS)",
        hint="start the unit's .socket, or give an address such as :8000",
    )


def _is_bound_to(descriptor: int, address: TcpAddress | UnixAddress) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            family, bound = copy.family, copy.getsockname()
    except OSError:
        return False  # no socket: whoever asks for it by number hears so
    if isinstance(address, UnixAddress):
        wanted = b"\0" + os.fsencode(address.path) if address.abstract else os.path.abspath(address.path)
        return family == socket.AF_UNIX and bound == wanted
    if family not in (socket.AF_INET, socket.AF_INET6) or bound[1] != address.port or address.port == 0:
        return False
    # The kernel's name of a host is its number: names (localhost) are not looked up, as addresses are not in uWSGI.
    return bool(bound[0] == address.host or (bound[0] in ANY_HOST and address.host in ANY_HOST))
