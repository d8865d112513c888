"""Why an address cannot be listened on, in sentences that name who holds it. Reads /proc; opens and changes nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence

from uwsgi_deploy.errors import BindError


def bind_error(address: str, error: OSError) -> BindError:
    """A sentence for the reasons that people meet; the kernel's words for all others."""
    if error.errno == errno.EADDRINUSE:
        return _in_use(address)
    if error.errno == errno.EACCES:
        return BindError(address, _denied(address))
    if error.errno == errno.EADDRNOTAVAIL:
        return BindError(address, "no network interface of this machine has that address")
    if error.errno == errno.ENOENT:
        return BindError(address, f"the directory {os.path.dirname(address) or '.'} does not exist")
    return BindError(address, error.strerror or str(error))


def _denied(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if colon and "/" not in host and port.isdigit():
        return f"permission denied; ports below {_first_free_port()} need root or CAP_NET_BIND_SERVICE"
    directory = os.path.dirname(address) or "."
    return f"permission denied; the user with uid {os.geteuid()} may not create files in {directory}"


def _first_free_port() -> int:
    try:
        return int(_read("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
    except (OSError, ValueError):
        return 1024


def _in_use(address: str) -> BindError:
    _, colon, port = address.rpartition(":")
    holder = _holder_of_port(int(port)) if colon and port.isdigit() else ""
    if holder == _SELF:
        return BindError(address, "this server listens on it already", hint="the address is given twice")
    return BindError(address, f"the address is already in use{holder}", hint="stop it or choose another address")


_SELF = "\0self"
LISTENING = "0A"  # TCP_LISTEN in the st column of /proc/net/tcp


def _holder_of_port(port: int) -> str:
    """` by process 123 (python app.py)` if /proc tells; best effort, "" if it does not."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in _table(table):
            if len(fields) > 9 and fields[3] == LISTENING and fields[1].endswith(f":{port:04X}"):
                inodes.add(fields[9])
    return _holder(inodes)


def holder_of_path(path: str) -> str:
    """` by process 123 (nginx)` for the one that listens on this Unix socket, "" if /proc does not tell."""
    wanted = {path, os.path.abspath(path)}
    return _holder({fields[6] for fields in _table("/proc/net/unix") if len(fields) > 7 and fields[7] in wanted})


def _table(name: str) -> list[list[str]]:
    try:
        lines = _read(name).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line.split() for line in lines[1:]]


def _holder(inodes: Iterable[str]) -> str:
    targets = {f"socket:[{inode}]" for inode in inodes}
    if not targets:
        return ""
    for pid in _pids():
        if targets.intersection(_descriptors(pid)):
            return _SELF if pid == os.getpid() else f" by process {pid} ({_command(pid)})"
    return ""


def _pids() -> Sequence[int]:
    try:
        # Ourselves first: the commonest cause is an address that is given twice.
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), key=lambda pid: pid != os.getpid())
    except OSError:
        return ()


def _descriptors(pid: int) -> Iterable[str]:
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"{directory}/{name}")
        except OSError:
            continue


def _command(pid: int) -> str:
    try:
        words = _read(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0")
    except OSError:
        return "unknown"
    return b" ".join(words).decode("utf-8", "replace").strip()[:80] or "unknown"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
