"""The stacks of a process as text: what faulthandler writes of threads, read, and the same for greenlets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import FrameType

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+) \(most recent call first\):$")
_CORES = re.compile(r"^Greenlets of cores ([\d ]+) \(most recent call first\):$")
_OTHERS = re.compile(r"^Greenlets, (\d+) others \(most recent call first\):$")
_FRAME = re.compile(r'^  File "(.*)", line (\d+|\?\?\?) in (.*)$')

# Of one greenlet, and of all of them: thousands at the same place take the room of one.
MOST_FRAMES = 100
MOST_TEXT = 256 << 10
END_OF_GREENLETS = "End of greenlets"
# What a stack is called that no request has.
OWN_THREAD = "a thread of the server's own"

# Where the server calls the application: all frames further out are the same in every worker.
_ENTRANCE = ("/uwsgi_deploy/wsgi/lifecycle.py", "handle_request")


@dataclass(frozen=True, slots=True)
class Line:
    """A frame; line is 0 where the interpreter could not tell."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class FoundStack:
    """The most recent call first: of one thread (`threading.get_ident()`), or, with thread 0, of the greenlets that run
    the requests of these cores, or of so many other greenlets; all of them are at the same place."""

    frames: tuple[Line, ...]
    thread: int = 0
    cores: tuple[int, ...] = ()
    others: int = 0


def parse(stacks: str) -> Iterator[FoundStack]:
    """The stacks in a text; a text that breaks off, or is none, gives what can be read of it."""
    owner: FoundStack | None = None
    frames: list[Line] = []
    for text in stacks.splitlines():
        if following := _owner(text):
            if owner is not None:
                yield replace(owner, frames=tuple(frames))
            owner, frames = following, []
        elif frame := _FRAME.match(text):
            frames.append(Line(frame[1], int(frame[2]) if frame[2].isdigit() else 0, frame[3]))
    if owner is not None:
        yield replace(owner, frames=tuple(frames))


def _owner(text: str) -> FoundStack | None:
    """Whose stack begins with this line, if one does."""
    if heading := _THREAD.match(text):
        return FoundStack((), thread=int(heading[1], 16))
    if heading := _CORES.match(text):
        return FoundStack((), cores=tuple(int(core) for core in heading[1].split()))
    if heading := _OTHERS.match(text):
        return FoundStack((), others=int(heading[1]))
    return None


def greenlets(cores: Iterable[tuple[int, FrameType]], others: Iterable[FrameType]) -> str:
    """What a worker writes of its greenlets, those at the same place together, in the form that `parse` reads.

    cores: the innermost frames of cores that run a request; others: of the application's own greenlets.
    """
    places: dict[str, list[int]] = {}
    for core, frame in cores:
        places.setdefault(_written(frame), []).append(core)
    counts: dict[str, int] = {}
    for frame in others:
        written = _written(frame)
        counts[written] = counts.get(written, 0) + 1
    text = ""
    for written, found in places.items():
        text += f"Greenlets of cores {' '.join(map(str, found))} (most recent call first):\n{written}\n"
    for written, count in counts.items():
        text += f"Greenlets, {count} others (most recent call first):\n{written}\n"
    return f"{text[:MOST_TEXT]}\n{END_OF_GREENLETS}\n"


def _written(frame: FrameType | None) -> str:
    lines: list[str] = []
    while frame is not None and len(lines) < MOST_FRAMES:
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno or code.co_firstlineno} in {code.co_name}\n')
        frame = frame.f_back
    return "".join(lines)


def inner(frames: tuple[Line, ...]) -> tuple[Line, ...]:
    """The frames of a request without the server's around it; all of them where no request runs."""
    file, function = _ENTRANCE
    for index, frame in enumerate(frames):
        if frame.function == function and frame.file.endswith(file):
            return frames[:index]
    return frames
