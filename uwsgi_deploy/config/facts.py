"""What configuration may know about the machine and the process: gathered once, handed to everything that is pure."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Facts:
    """A snapshot. The defaults describe a machine on which nothing is set, for tests and for Python callers."""

    environ: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    hostname: str = "localhost"
    cpus: int = 1
    uid: int = 0
    gid: int = 0
    user: str = "root"
    group: str = "root"
    now: float = 0.0
    binary: str = ""
    version: str = ""
    pid: int = 0


def collect(environ: Mapping[str, str], *, version: str) -> Facts:
    """The facts of this process; `environ` is what `$(NAME)` and `UWSGI_*` may see."""
    return Facts(
        environ=dict(environ),
        cwd=_working_directory(),
        hostname=socket.gethostname(),
        cpus=os.cpu_count() or 1,
        uid=os.getuid(),
        gid=os.getgid(),
        user=_user_name(os.getuid()),
        group=_group_name(os.getgid()),
        now=time.time(),
        binary=os.path.realpath(sys.argv[0]),
        version=version,
        pid=os.getpid(),
    )


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us; only relative names would need it
        return "/"


def _user_name(uid: int) -> str:
    """Containers often run under a uid that no passwd entry names."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
