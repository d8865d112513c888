"""A log file that grows beyond `log-maxsize` is rotated. Looked at once a second: it costs one `fstat`."""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.config.settings.logs import LogSettings
from uwsgi_deploy.logs.setup import log_size
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.observe import Observer

INTERVAL = 1.0
# After a rotation that failed (the disk is full, the directory is read-only) nobody wants the same line every second.
LONGEST_PAUSE = 300


class LogLimit:
    """Asks for a rotation when the log has more than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pause = self._looks = 0

    def attach(self, observer: Observer) -> None:
        """See `observe.Intake`."""
        observer.every(INTERVAL, self.read)

    def read(self) -> Iterator[Request]:
        """The request, if it is time."""
        if log_size() <= self._most:
            self._pause = self._looks = 0
            return
        if self._looks < self._pause:
            self._looks += 1
            return
        self._pause, self._looks = min(2 * self._pause + 1, LONGEST_PAUSE), 0
        yield Request(Command.ROTATE_LOG, "log-maxsize")


def log_limit(settings: LogSettings) -> LogLimit | None:
    """What looks after the size; None when that does not matter."""
    return LogLimit(settings.log_maxsize) if settings.log_maxsize else None
