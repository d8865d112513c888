"""Stacks as a report has them: which frames are the application's, what their lines say, which threads do the same."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from uwsgi_deploy.reports.incident import Frame, Stack
from uwsgi_deploy.reports.redaction import Redactor

# Recursion that does not end; what is of interest is at the top, and where the application was entered.
MOST_FRAMES = 120
MOST_OTHER_FRAMES = 25
MOST_OTHER_STACKS = 20
MOST_NAMES = 5
_MOST_LINE = 200
_MOST_FILE = 4 << 20

_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + "/"
_SERVER = tuple(f"{_PACKAGES}{name}/" for name in ("uwsgi_deploy", "django_integration", "flask_integration"))
_OWN_LIBRARY = re.escape(os.path.dirname(os.path.abspath(os.__file__)))
# Python's own library, also that of another process, and what has no file.
_STANDARD = re.compile(rf"^(?:{_OWN_LIBRARY}/|.*?/lib(?:64)?/python3\.\d+t?/|<)")
_INSTALLED = ("/site-packages/", "/dist-packages/")
# What the stack may have been taken in: the handler of the signal that ends a request.
_INTERRUPTING = f"{_PACKAGES}uwsgi_deploy/worker/deadlines.py"
_ENTRANCE = "/uwsgi_deploy/wsgi/lifecycle.py"


@dataclass(frozen=True, slots=True)
class Territory:
    """Whose code a file is. package: the top-level package that the application was loaded from, or empty: it is the
    application's also where it is installed like a library."""

    package: str = ""

    def is_application(self, frame: Frame) -> bool:
        """Whether it is neither a library's nor the server's."""
        file = frame.file
        if is_server(frame) or file.startswith("<"):
            return False
        if self.package:
            own = f"/{self.package}/"
            if any(f"{place[:-1]}{own}" in file for place in _INSTALLED):
                return True
        return not (_STANDARD.search(file) or _is_installed(frame))


def is_server(frame: Frame) -> bool:
    """Whether it is this server's code, or that of its adapters."""
    return frame.file.startswith(_SERVER)


def _is_installed(frame: Frame) -> bool:
    return any(place in frame.file for place in _INSTALLED)


def library_name(frame: Frame) -> str:
    """The file as its library calls it: `psycopg/cursor.py`, `threading.py`; empty where it is no library's.

    The server's own is one, also where it is installed in place.
    """
    if is_server(frame):
        return frame.file.removeprefix(_PACKAGES)
    for place in _INSTALLED:
        _, found, name = frame.file.rpartition(place)
        if found:
            return name
    standard = _STANDARD.search(frame.file)
    return frame.file[standard.end() :] if standard else ""


def last_name(frame: Frame) -> str:
    """The function without its class: stacks that are taken from outside do not tell that."""
    return frame.function.rpartition(".")[2]


def in_request(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """The frames of the request alone, without what called the application, and what interrupted it."""
    while frames and frames[0].file.startswith(_INTERRUPTING):
        frames = frames[1:]
    for number, frame in enumerate(frames):
        if frame.file.endswith(_ENTRANCE) and frame.function == "handle_request":
            return tuple(frames[:number])
    return tuple(frames)


def culprit(frames: Sequence[Frame], territory: Territory) -> Frame | None:
    """The innermost frame of the application; where there is none, of a library that is not Python's own."""
    own = next((frame for frame in frames if territory.is_application(frame)), None)
    if own is not None:
        return own
    installed = (frame for frame in frames if not is_server(frame) and _is_installed(frame))
    return next(installed, frames[0] if frames else None)


@dataclass(slots=True)
class SourceLines:
    """Lines of Python files, each file read once. Only regular `.py` files of a sensible size: names of files may come
    from a process that is not trusted."""

    _known: dict[tuple[str, int], str] = field(default_factory=dict)

    def line(self, frame: Frame) -> str:
        """The text of the frame's line, empty where it cannot be had."""
        key = (frame.file, frame.line)
        if key not in self._known:
            self._known[key] = self._read(*key)
        return self._known[key]

    @staticmethod
    def _read(path: str, line: int) -> str:
        if not path.endswith(".py") or line < 1:
            return ""
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return ""
        with open(file, encoding="utf-8", errors="replace") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_FILE:
                return ""
            return next(islice(opened, line - 1, line), "").strip()[:_MOST_LINE]


def frame_fields(frame: Frame, territory: Territory, sources: SourceLines | None = None) -> dict[str, Any]:
    """A frame in a report. sources: None leaves the line's text out."""
    return {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "module": frame.module,
        "code": "" if sources is None else sources.line(frame),
        "in_app": territory.is_application(frame),
    }


def stack_fields(frames: Sequence[Frame], territory: Territory, sources: SourceLines) -> list[dict[str, Any]]:
    """The request's own stack."""
    if len(frames) > MOST_FRAMES:
        frames = (*frames[: MOST_FRAMES - 20], *frames[-20:])
    return [frame_fields(frame, territory, sources) for frame in frames]


def collapsed(stacks: Iterable[Stack], territory: Territory, redactor: Redactor) -> list[dict[str, Any]]:
    """Other threads or greenlets, those that do the same as one: the application's first, then the most numerous.

    The server's own threads, and cores that wait for a request, are left out.
    """
    found: dict[tuple[Frame, ...], list[str]] = {}
    for stack in stacks:
        if stack.frames and is_server(stack.frames[0]) and not any(map(territory.is_application, stack.frames)):
            continue
        found.setdefault(in_request(stack.frames)[:MOST_OTHER_FRAMES], []).append(redactor.name(stack.name))

    def rank(entry: tuple[tuple[Frame, ...], list[str]]) -> tuple[bool, int]:
        return not any(map(territory.is_application, entry[0])), -len(entry[1])

    return [
        {
            "names": names[:MOST_NAMES],
            "count": len(names),
            "frames": [frame_fields(frame, territory) for frame in frames],
        }
        for frames, names in sorted(found.items(), key=rank)[:MOST_OTHER_STACKS]
    ]
