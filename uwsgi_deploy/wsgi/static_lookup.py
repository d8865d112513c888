"""From a request's path to an open file, or to the reason why there is none. Never opens what is no regular file.

A path leads to a file only below the directory that is mapped, or below one that `static-safe` names: where the open
file really lies is asked of the kernel, so that no link and no change meanwhile can lead elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from uwsgi_deploy.config.static import Mapping

# O_NONBLOCK: should it be a pipe by now, the open does not wait for its other end.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MOST_COMPLAINTS = 100
_MOST_REMEMBERED = 4096
_SLASH = b"/"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, open for reading; `real` is where it lies, `status` what fstat says."""

    fd: int
    status: os.stat_result
    real: bytes


class Obstacle(Enum):
    """Why a path that leads to something is not answered with a file."""

    FORBIDDEN = "the server may not read it"
    NEEDS_SLASH = "it is a directory with an index file: the client has to ask for it with a slash at the end"


@dataclass(slots=True)
class Root:
    """A place with files, and the paths that lead there. prefix: as in PATH_INFO; real: where `place` really lies."""

    prefix: str
    place: bytes
    keeps_prefix: bool
    real: bytes = b""

    def candidate(self, path: str) -> bytes | None:
        """The file that a path would be; the prefix ends where a segment of the path does."""
        prefix = self.prefix
        if not path.startswith(prefix):
            return None
        rest = path[len(prefix) :]
        if rest and rest[0] != "/":
            return None
        return (self.place + (path if self.keeps_prefix else rest).encode("latin-1")) or _SLASH

    def holds(self, real: bytes) -> bool:
        """Whether a file lies in it; the place itself may have become another link since the last look."""
        if self.real and _is_inside(real, self.real):
            return True
        self.real = os.path.realpath(self.place or _SLASH)
        return _is_inside(real, self.real)


def roots_of(mappings: Iterable[Mapping]) -> tuple[Root, ...]:
    """The mappings, relative places made absolute."""
    return tuple(
        Root(as_path_info(mapping.prefix), _place(mapping.place), mapping.keeps_prefix) for mapping in mappings
    )


def as_path_info(text: str) -> str:
    """Text of the configuration as it is in PATH_INFO (PEP 3333): bytes as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _place(path: str) -> bytes:
    return os.fsencode(os.path.abspath(path)).rstrip(_SLASH)


def _is_inside(path: bytes, directory: bytes) -> bool:
    return path == directory or path.startswith(directory.rstrip(_SLASH) + _SLASH)


def leaves(path: str) -> bool:
    """Whether a path, percent-decoded, climbs or cannot be one."""
    return ("/.." in path and ".." in path.split("/")) or "\0" in path


class Lookup:
    """See the module. index: names that stand for a directory; safe: places that links may lead to.

    seconds: how long to remember where paths lead. log: told once of each obstacle that somebody should know of.
    """

    def __init__(
        self,
        roots: tuple[Root, ...],
        *,
        safe: Iterable[str] = (),
        index: Iterable[str] = (),
        skipped: Iterable[str] = (),
        seconds: float = 0.0,
        log: Callable[[str], None],
    ) -> None:
        self.roots = roots
        self._safe = tuple(os.path.realpath(_place(place) or _SLASH) for place in safe)
        self._skipped = tuple(as_path_info(suffix) for suffix in skipped)
        self._index = tuple(os.fsencode(name) for name in index if not name.endswith(tuple(skipped)))
        self._seconds, self._log = seconds, log
        self._complained: set[bytes] = set()
        self._remembered: dict[str, tuple[float, bytes]] = {}
        self._asks_kernel = os.path.isdir("/proc/self/fd")

    def find(self, path: str) -> Found | Obstacle | None:
        """The file that a path leads to; None leaves the request to the application."""
        if leaves(path) or (self._skipped and path.endswith(self._skipped)):
            return None
        if self._seconds and (found := self._recall(path)):
            return found
        for root in self.roots:
            candidate = root.candidate(path)
            if candidate is not None and (result := self._look(candidate, path, root)) is not None:
                if self._seconds and isinstance(result, Found):
                    self._remember(path, result.real)
                return result
        return None

    def beside(self, found: Found, suffix: bytes) -> Found | None:
        """The file with the same name and a suffix more: it lies in the same directory, and is no link."""
        real = found.real + suffix
        try:
            return self._known(real)
        except OSError:
            return None

    def _look(self, candidate: bytes, path: str, root: Root) -> Found | Obstacle | None:
        try:
            mode = os.stat(candidate).st_mode
        except OSError as error:
            if error.errno == errno.EACCES:
                self._complain(candidate, error.strerror or str(error))
            return None
        if not stat.S_ISDIR(mode):
            return self._open(candidate, root) if stat.S_ISREG(mode) else None
        for name in self._index:
            file = candidate.rstrip(_SLASH) + _SLASH + name
            if not os.path.isfile(file):
                continue
            found = self._open(file, root)
            if not isinstance(found, Found) or not path or path.endswith("/"):
                return found
            os.close(found.fd)
            return Obstacle.NEEDS_SLASH
        return None

    def _open(self, candidate: bytes, root: Root) -> Found | Obstacle | None:
        try:
            fd = os.open(candidate, _FLAGS)
        except PermissionError as error:
            self._complain(candidate, error.strerror or str(error))
            return Obstacle.FORBIDDEN
        except (FileNotFoundError, NotADirectoryError):
            return None  # it was there a moment ago
        status = os.fstat(fd)
        real = self._real(fd, candidate)
        if stat.S_ISREG(status.st_mode):
            if root.holds(real) or any(_is_inside(real, safe) for safe in self._safe):
                return Found(fd, status, real)
            self._complain(candidate, f"it lies at {os.fsdecode(real)!r}, in no served directory (see static-safe)")
        os.close(fd)
        return None

    def _real(self, fd: int, file: bytes) -> bytes:
        """Where an open file lies, whatever its name leads to by now."""
        return os.readlink(b"/proc/self/fd/%d" % fd) if self._asks_kernel else os.path.realpath(file)

    def _known(self, real: bytes) -> Found | None:
        """A file at a place that is allowed; None if it is no file, or if a link leads elsewhere. Raises OSError."""
        if not stat.S_ISREG(os.lstat(real).st_mode):
            return None
        fd = os.open(real, _FLAGS | os.O_NOFOLLOW)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and self._real(fd, real) == real:
            return Found(fd, status, real)
        os.close(fd)
        return None

    def _remember(self, path: str, real: bytes) -> None:
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[path] = (monotonic() + self._seconds, real)

    def _recall(self, path: str) -> Found | None:
        expires, real = self._remembered.get(path, (0.0, b""))
        if expires > monotonic():
            try:
                if found := self._known(real):
                    return found
            except OSError:
                pass
        self._remembered.pop(path, None)
        return None

    def _complain(self, file: bytes, why: str) -> None:
        if file not in self._complained and len(self._complained) < _MOST_COMPLAINTS:
            self._complained.add(file)
            self._log(f"static file {os.fsdecode(file)!r} is not served: {why}")
