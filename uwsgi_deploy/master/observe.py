"""What the master sees: signals, messages of templates, ends of children, the clock. Decides nothing.

One `poll` for everything, without a timeout when nothing is due: an idle master uses no processor time.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from uwsgi_deploy.master.commands import Request
from uwsgi_deploy.process.signals import Wakeup
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker import channel
from uwsgi_deploy.worker.channel import Message


@dataclass(frozen=True, slots=True)
class Exit:
    """A child ended: with `code`, or by `signal` (the other one is 0)."""

    pid: int
    code: int
    signal: int

    def describe(self) -> str:
        """`killed by signal 9` or `exit code 3`."""
        return f"killed by signal {self.signal}" if self.signal else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that happened since the last one. `messages` are (generation of the template, message)."""

    now: float
    signals: tuple[int, ...]
    messages: tuple[tuple[int, Message], ...]
    exits: tuple[Exit, ...]
    requests: tuple[Request, ...]


Read: TypeAlias = Callable[[], Iterable[Request]]


@dataclass(slots=True)
class Periodic:
    """Something that is read every `interval` seconds, next at the monotonic instant `due`."""

    interval: float
    read: Read
    due: float


class Intake(Protocol):
    """A way in for requests (FIFO, control socket) that was opened before there was an observer."""

    def attach(self, observer: Observer) -> None:
        """Have the observer watch what this one reads, from now on."""


class Observer:
    """Waits for something to happen and collects it."""

    def __init__(self, wakeup: Wakeup, scoreboard: Scoreboard) -> None:
        self._wakeup, self._scoreboard = wakeup, scoreboard
        self._channels: dict[int, socket.socket] = {}
        self._watched: dict[int, Read] = {}
        self._shared: set[int] = set()
        self._periodic: list[Periodic] = []
        self._poll = select.poll()
        for descriptor in (wakeup.fileno(), scoreboard.wake_fd):
            self._poll.register(descriptor, select.POLLIN)

    def watch(self, descriptor: int, read: Read, *, events: int = select.POLLIN, shared: bool = False) -> None:
        """Call `read` when `descriptor` is ready; what it returns is told to the master. The master's alone, see
        `descriptors`, unless `shared`; to be called again with other `events` at any time."""
        self._watched[descriptor] = read
        if shared:
            self._shared.add(descriptor)
        self._poll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor, before it is closed."""
        self._shared.discard(descriptor)
        if self._watched.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def every(self, interval: float, read: Read) -> None:
        """Call `read` every `interval` seconds from now on; what it returns is told to the master."""
        self._periodic.append(Periodic(interval, read, time.monotonic() + interval))

    def attach(self, generation: int, end: socket.socket) -> None:
        """Listen to a new template."""
        end.setblocking(False)
        self._channels[generation] = end
        self._poll.register(end, select.POLLIN)

    def channel(self, generation: int) -> socket.socket | None:
        """The channel to a template, while it is open."""
        return self._channels.get(generation)

    def detach(self, generation: int) -> None:
        """Forget a template's channel."""
        end = self._channels.pop(generation, None)
        if end is not None:
            self._poll.unregister(end)
            end.close()

    def channels(self) -> dict[int, int]:
        """Generation of a template to the descriptor of its channel, for the master's next image."""
        return {generation: end.fileno() for generation, end in self._channels.items()}

    def pending_signals(self) -> tuple[int, ...]:
        """Signals that arrived since the last observation; for a master that is about to be replaced."""
        return self._wakeup.drain()

    def descriptors(self) -> list[int]:
        """Descriptors that are the master's alone; children close them."""
        return [
            *self._wakeup.descriptors,
            *(self._watched.keys() - self._shared),
            *(end.fileno() for end in self._channels.values()),
        ]

    def wait(self, deadline: float | None) -> Observation:
        """Wait until something happens, or until the monotonic instant `deadline`."""
        if self._periodic:
            soonest = min(task.due for task in self._periodic)
            deadline = soonest if deadline is None else min(deadline, soonest)
        if deadline is None:
            events = self._poll.poll()
        else:
            events = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        self._scoreboard.acknowledge()
        signals = self._wakeup.drain()
        # Ends are collected before messages are read: what a child said before it ended is then among the messages.
        exits = _reap()
        now = time.monotonic()
        requests = [request for fd, _ in events if fd in self._watched for request in self._watched[fd]()]
        requests += self._looked_up(now)
        return Observation(now, signals, self._messages(), exits, tuple(requests))

    def _looked_up(self, now: float) -> Iterator[Request]:
        for task in self._periodic:
            if task.due <= now:
                task.due = now + task.interval
                yield from task.read()

    def _messages(self) -> tuple[tuple[int, Message], ...]:
        found: list[tuple[int, Message]] = []
        for generation, end in list(self._channels.items()):
            while (message := self._receive(generation, end)) is not None:
                found.append((generation, message))
        return tuple(found)

    def _receive(self, generation: int, end: socket.socket) -> Message | None:
        try:
            message = channel.receive(end)
        except BlockingIOError:
            return None
        except ConnectionError:
            message = None
        if message is None:
            self.detach(generation)  # the template is ending; its exit tells the rest
        return message


def _reap() -> tuple[Exit, ...]:
    """Every child that has ended, adopted strangers too (as PID 1, and as subreaper)."""
    exits = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        code = os.waitstatus_to_exitcode(status)
        exits.append(Exit(pid, code, 0) if code >= 0 else Exit(pid, 0, -code))
    return tuple(exits)
