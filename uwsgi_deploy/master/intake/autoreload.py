"""py-autoreload's side in the master: the watcher process (see `worker.watcher`), and reloads when it tells a change.

A watcher is started with a template when none lives. It outlives the master's image: one that returns to what was
before starts no template, and still has to hear when broken code is mended.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from uwsgi_deploy.config.settings.watching import WatchingSettings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.observe import Observer
from uwsgi_deploy.net.listener import Listener, close_listeners
from uwsgi_deploy.worker.imported import Reporter
from uwsgi_deploy.worker.watcher import SEPARATOR, WatcherContext, run_watcher

ORIGIN = "py-autoreload"
INTERVAL = 1.0


class Autoreload:
    """The watcher of one image of the master."""

    def __init__(self, settings: WatchingSettings, observer: Observer, listeners: Iterable[Listener]) -> None:
        self._settings, self._observer, self._listeners = settings, observer, tuple(listeners)
        self._interval = settings.py_autoreload or INTERVAL
        self._pid = 0
        self._end: socket.socket | None = None
        self._reports: socket.socket | None = None
        self._rest = b""

    def start_watcher(self, fork: Callable[[Callable[[], int]], int], private: Iterable[int]) -> None:
        """Have a watcher; `fork` makes a child that runs a function, `private` are descriptors that it must close."""
        if self._end is not None:
            return
        ours, theirs = socket.socketpair()
        incoming, outgoing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        at_once = self._settings.autoreload
        context = WatcherContext(incoming, theirs, os.getpid(), self._interval, at_once)

        def body() -> int:
            for descriptor in (*private, ours.fileno(), outgoing.fileno()):
                os.close(descriptor)
            close_listeners(self._listeners)
            return run_watcher(context)

        try:
            self._pid = fork(body)
        except OSError as error:
            log(f"*** autoreload is off: cannot fork its watcher: {error.strerror} ***")
            ours.close()
            outgoing.close()
            return
        finally:
            theirs.close()
            incoming.close()
        ours.setblocking(False)
        outgoing.setblocking(False)
        self._end, self._reports, self._rest = ours, outgoing, b""
        self._observer.watch(ours.fileno(), self.read)

    def keepsake(self) -> tuple[Any, tuple[int, ...]]:
        """The watcher, for the master's next image."""
        if self._end is None or self._reports is None:
            return None, ()
        descriptors = (self._end.fileno(), self._reports.fileno())
        return (descriptors, self._interval, self._settings.autoreload, self._rest), descriptors

    def adopt(self, kept: Any) -> None:
        """Go on with the former image's watcher; one that was started with other settings is let go."""
        descriptors, interval, at_once, rest = kept
        if (interval, at_once) != (self._interval, self._settings.autoreload):
            dismiss_watcher(kept)
            return
        self._end, self._reports = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        self._rest = rest
        self._observer.watch(self._end.fileno(), self.read)

    def reporter(self, started: int) -> Reporter | None:
        """With which a template and its workers tell their files; None when there is no watcher."""
        if self._reports is None:
            return None
        return Reporter(self._reports, self._settings.py_auto_reload_ignore, min(self._interval, INTERVAL), started)

    def read(self) -> Iterator[Request]:
        """A reload, when files have changed."""
        assert self._end is not None
        try:
            data = self._end.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._forget()
            return
        *paths, self._rest = (self._rest + data).split(SEPARATOR)
        for path in paths:
            log(f"[uwsgi-python-reloader] module/file {os.fsdecode(path)} has been modified")
        if paths:
            yield Request(Command.RELOAD, ORIGIN)

    def _forget(self) -> None:
        if self._end is None or self._reports is None:
            return
        self._observer.unwatch(self._end.fileno())
        self._end.close()
        self._reports.close()
        self._end = self._reports = None
        log("the watcher of autoreload has ended; another one comes with the next reload")


def dismiss_watcher(kept: Any) -> None:
    """Let a watcher of the former image go: it ends when the other end of its socket is closed."""
    for descriptor in kept[0]:
        os.close(descriptor)


def wanted(settings: WatchingSettings) -> bool:
    """Whether the server reloads when the application's code changes."""
    return settings.autoreload or settings.py_autoreload > 0
