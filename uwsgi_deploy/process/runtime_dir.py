"""Where a running server leaves its control socket, and where tools look for it: private directories, one per user.

In order: `$XDG_RUNTIME_DIR/uwsgi-deploy`, `/run/uwsgi-deploy/UID`, `/tmp/uwsgi-deploy-UID`. The sockets are called
PID.sock. A directory counts only if it is the user's own and closed to all others: in /tmp anybody could have made it.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping

NAME = "uwsgi-deploy"
SUFFIX = ".sock"
RUN = "/run"
TEMPORARY = "/tmp"
DIRECTORY_MODE = 0o700


def places(environ: Mapping[str, str], uid: int) -> Iterator[str]:
    """Directories for the servers of user `uid`, best first; they need not exist."""
    session = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(session):
        yield os.path.join(session, NAME)
    yield f"{RUN}/{NAME}/{uid}"
    yield f"{TEMPORARY}/{NAME}-{uid}"


def all_places(environ: Mapping[str, str], uid: int) -> Iterator[str]:
    """Where a user's tools look; root's tools look into everybody's directories."""
    yield from places(environ, uid)
    yield f"{RUN}/user/{uid}/{NAME}"
    if uid != 0:
        return
    for parent, pattern in ((f"{RUN}/{NAME}", ""), (f"{RUN}/user", ""), (TEMPORARY, f"{NAME}-")):
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            if name.removeprefix(pattern).isdigit() and name.startswith(pattern):
                path = os.path.join(parent, name)
                yield os.path.join(path, NAME) if parent.endswith("/user") else path


def prepare(uid: int) -> None:
    """As root, make the directory under /run for the user that the server is about to become. No error if it cannot."""
    parent = f"{RUN}/{NAME}"
    try:
        _make(parent, 0o755)
        path = f"{parent}/{uid}"
        _make(path, DIRECTORY_MODE)
        if os.lstat(path).st_uid != uid:
            os.chown(path, uid, -1, follow_symlinks=False)
    except OSError:
        return


def choose(environ: Mapping[str, str]) -> str | None:
    """A directory that this process may write and nobody else, made if need be; None when there is none."""
    return next((path for path in places(environ, os.geteuid()) if _usable(path)), None)


def _usable(path: str) -> bool:
    try:
        _make(path, DIRECTORY_MODE)
    except OSError:
        return False
    return is_private(path, os.geteuid()) and os.access(path, os.W_OK | os.X_OK)


def is_private(path: str, uid: int) -> bool:
    """Whether it is a directory (no link) of this user's that nobody else can enter."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def _make(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)  # whatever the umask is


def sweep(directory: str) -> None:
    """Remove sockets in `directory` that servers left which were killed."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        pid = name.removesuffix(SUFFIX)
        path = os.path.join(directory, name)
        # A process of that number in another container may own it: what counts is that nobody listens.
        if pid.isdigit() and name.endswith(SUFFIX) and not os.path.exists(f"/proc/{pid}") and is_abandoned(path):
            try:
                os.unlink(path)
            except OSError:
                continue


def is_abandoned(path: str) -> bool:
    """Whether it is a Unix socket on which nobody listens, or a link that leads nowhere."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return os.path.islink(path)
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full listen queue has a listener
        try:
            code = probe.connect_ex(path)
        except OSError:
            return False  # a path that is too long for a socket
    return code == errno.ECONNREFUSED
