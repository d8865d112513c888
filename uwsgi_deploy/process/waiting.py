"""Waiting at the start for what others bring: files, mounts, network interfaces, servers that take connections.

Blocks its process, says so in the log, and gives up after a time. A stop ends it with `command.Interrupted`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.process.command import Interrupted, stops_heeded

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
CONNECT_TIMEOUT = 2.0
_INTERFACE_UP = 0x1  # IFF_UP of netdevice(7)


class WaitFailed(ServerError):
    """What was waited for did not come in time."""


def interface_is_up(name: str) -> bool:
    """Whether a network interface is up."""
    try:
        with open(f"/sys/class/net/{name}/flags", encoding="ascii") as file:
            return bool(int(file.read(), 16) & _INTERFACE_UP)
    except (OSError, ValueError):
        return False


def takes_connections(address: str) -> bool:
    """Whether somebody accepts at `host:port`, `/path` or `@abstract`."""
    host, colon, port = address.rpartition(":")
    if address.startswith(("/", "@", ".")) or not colon or not port.isdigit():
        family, target = socket.AF_UNIX, "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(family) as client:
            client.settimeout(CONNECT_TIMEOUT)
            return _connects(lambda: client.connect(target))
    return _connects(
        lambda: socket.create_connection((host.strip("[]") or "localhost", int(port)), CONNECT_TIMEOUT).close()
    )


def _connects(connect: Callable[[], None]) -> bool:
    try:
        connect()
    except OSError:
        return False
    return True


CONDITIONS: Mapping[str, Callable[[str], bool]] = {
    "interface": interface_is_up,
    "fs": os.path.exists,
    "file": os.path.isfile,
    "dir": os.path.isdir,
    "mountpoint": os.path.ismount,
    "socket": takes_connections,
}
"""What can be waited for, by the end of the option's name."""


def wait_for(kind: str, what: str, *, timeout: float, log: Callable[[str], None]) -> None:
    """Wait until the condition `kind` holds for `what`; WaitFailed after `timeout` seconds, Interrupted at a stop."""
    condition = CONDITIONS[kind]
    if condition(what):
        return
    log(f"waiting for {what} (max {timeout:g} seconds) ...")
    deadline, pause = time.monotonic() + timeout, FIRST_PAUSE
    with stops_heeded(_interrupt):
        while not condition(what):
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitFailed(f"wait-for-{kind}: {what} is still missing after {timeout:g} seconds")
            time.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_PAUSE)
    log(f"{what} is there")


def _interrupt(number: int) -> None:
    raise Interrupted(number)
