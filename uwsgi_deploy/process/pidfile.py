"""The pid file: made for one server, locked while it lives, removed only if it is still ours.

The file holds the pid and is locked (flock) for the life of the master. So a file that a crashed server left is told
from that of a running one without guessing from a number that may mean another process by now. The lock goes with the
open file, so children close their copy (`PidFile.close`).
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass, replace

from uwsgi_deploy.errors import ConfigError

MODE = 0o644
LONGEST_CONTENT = 32


@dataclass(frozen=True, slots=True)
class PidFile:
    """A pid file that this process wrote. `descriptor` holds the lock."""

    path: str
    pid: int
    inode: int
    descriptor: int

    def close(self) -> None:
        """Give up the lock, or a child's copy of it."""
        os.close(self.descriptor)

    def renew(self) -> PidFile:
        """Write the pid again, into a new file if ours was removed or replaced; the descriptor keeps its number.

        ConfigError when that cannot be, or the file belongs to another running server by now.
        """
        if _inode_of(self.path) == self.inode:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, _content(self.pid), 0)
            return self
        new = write_pidfile(self.path, self.pid)
        os.dup2(new.descriptor, self.descriptor, inheritable=False)
        os.close(new.descriptor)
        return replace(new, descriptor=self.descriptor)

    def remove(self) -> list[str]:
        """Unlink the file if it is still the one we made with our pid in it; returns lines for the log."""
        try:
            with open(self.path, "rb") as file:
                ours = os.fstat(file.fileno()).st_ino == self.inode and file.read(LONGEST_CONTENT) == _content(self.pid)
            if not ours:
                return [f"VACUUM WARNING: pidfile {self.path} is not ours any more. Skip removal"]
            os.unlink(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [f"VACUUM WARNING: pidfile {self.path} cannot be removed: {error.strerror}"]
        return ["VACUUM: pidfile removed."]


def write_pidfile(path: str, pid: int, *, option: str = "pidfile") -> PidFile:
    """Create the file, or replace one that no running server holds; ConfigError if one does or it is no pid file.

    option: what the error names as its origin.
    """
    path = os.path.abspath(path)
    descriptor = _open(path, option)
    try:
        _lock(descriptor, path, option)
        _require_pid_content(descriptor, path, option)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _content(pid), 0)
        return PidFile(path, pid, os.fstat(descriptor).st_ino, descriptor)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(option, f"cannot write {path}: {error.strerror}") from None
    except ConfigError:
        os.close(descriptor)
        raise


def _open(path: str, option: str) -> int:
    # O_NOFOLLOW: in a directory that others may write, a link must not make root overwrite something else.
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, MODE)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise ConfigError(option, f"cannot write {path}: {reason}") from None


def _lock(descriptor: int, path: str, option: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, LONGEST_CONTENT, 0).decode("ascii", "replace").strip()
        raise ConfigError(
            option,
            f"{path} belongs to a running server (pid {holder or 'unknown'})",
            hint="stop that one first, or give this one another file",
        ) from None
    except OSError:
        return  # a file system without locks: the content is all there is to go by


def _require_pid_content(descriptor: int, path: str, option: str) -> None:
    content = os.pread(descriptor, LONGEST_CONTENT, 0).strip()
    if content and not content.isdigit():
        raise ConfigError(option, f"{path} exists and is no pid file", hint="remove it or choose another path")


def _content(pid: int) -> bytes:
    return f"{pid}\n".encode("ascii")


def _inode_of(path: str) -> int:
    """0 when there is no such file."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0
