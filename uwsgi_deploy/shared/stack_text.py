"""What faulthandler writes, read: the stacks of a process by thread. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+) \(most recent call first\):$")
_FRAME = re.compile(r'^  File "(.*)", line (\d+|\?\?\?) in (.*)$')


# Where the server calls the application: all frames further out are the same in every worker.
_ENTRANCE = ("/uwsgi_deploy/wsgi/lifecycle.py", "handle_request")


@dataclass(frozen=True, slots=True)
class Line:
    """A frame; line is 0 where the interpreter could not tell."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """The most recent call first. thread: `threading.get_ident()`."""

    thread: int
    frames: tuple[Line, ...]


def parse(stacks: str) -> Iterator[ThreadStack]:
    """The stacks of all threads in a text; a text that breaks off, or is none, gives what can be read of it."""
    thread: int | None = None
    frames: list[Line] = []
    for text in stacks.splitlines():
        if heading := _THREAD.match(text):
            if thread is not None:
                yield ThreadStack(thread, tuple(frames))
            thread, frames = int(heading[1], 16), []
        elif frame := _FRAME.match(text):
            frames.append(Line(frame[1], int(frame[2]) if frame[2].isdigit() else 0, frame[3]))
    if thread is not None:
        yield ThreadStack(thread, tuple(frames))


def inner(frames: tuple[Line, ...]) -> tuple[Line, ...]:
    """The frames of a request without the server's around it; all of them where no request runs."""
    file, function = _ENTRANCE
    for index, frame in enumerate(frames):
        if frame.function == function and frame.file.endswith(file):
            return frames[:index]
    return frames
