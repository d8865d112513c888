"""The last reports as files, one each, which outlive the worker that they are about: who writes, lists and reads them.

In the directory are `ID.json`, and beside it `ID.pending-ATTEMPT-PID-SERVER` for a report that the application has not
been told of yet: PID is the process that is about to tell it (0: nobody yet), SERVER the server's master. Renaming that
file takes the duty over; of several processes one succeeds. All files are private to their owner; links are not
followed, in case the directory is one that others may write.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.reports.place import PENDING, Place, make, place_of
from uwsgi_deploy.reports.report import Report

# A report whose delivery has ended this many processes is left alone.
MOST_ATTEMPTS = 3
# Larger than any report.
_MOST_BYTES = 4 << 20
_STALE_AFTER = 3600.0
_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_REPORT = re.compile(rf"({_ID})\.json")
_PENDING = re.compile(rf"({_ID}){re.escape(PENDING)}(\d+)-(\d+)-(\d+)")


class NoSuchReport(ServerError):
    """There is no report of that name, or several whose names begin so, or it cannot be read."""


class Ring:
    """See the module. keep: how many reports are kept. owner: whose files they are to be, if root writes them."""

    def __init__(self, directory: str, keep: int, *, owner: int | None = None) -> None:
        self.directory, self.keep = directory, keep
        self._owner = owner if owner is not None and os.geteuid() == 0 else os.geteuid()

    # --- writing ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the directory if it is not there, for its owner alone. Raises OSError."""
        make(Place(self.directory, self._owner))

    def add(self, report: Report, *, pending: tuple[int, int] | None = None) -> None:
        """Keep a report, or its new version; the oldest beyond `keep` go. Raises OSError.

        pending: the application is still to be told, by which process (0: any) of which server (the master's pid).
        """
        self.prepare()
        report_id = report["id"]
        if pending is not None:
            self._write(f"{report_id}{PENDING}0-{pending[0]}-{pending[1]}", b"")
        self._write(f"{report_id}.json", json.dumps(report, ensure_ascii=False, default=str).encode("utf-8", "replace"))
        self._prune()

    def settle(self, report_id: str) -> None:
        """The application has been told of it."""
        for name in self._names():
            found = _PENDING.fullmatch(name)
            if found and found[1] == report_id:
                self._remove(name)

    def claim(self, pid: int, server: int) -> list[str]:
        """The reports that process `pid` of the server `server` now has to tell the application of, oldest first.

        Those of processes that are gone, and of servers that are.
        """
        claimed = []
        for name in self._names():
            found = _PENDING.fullmatch(name)
            if found is None:
                continue
            attempt, holder, their_server = int(found[2]) + 1, int(found[3]), int(found[4])
            if _lives(their_server) if their_server != server else holder == pid or _lives(holder):
                continue
            if attempt > MOST_ATTEMPTS:
                self._remove(name)
                continue
            try:
                os.rename(self._path(name), self._path(f"{found[1]}{PENDING}{attempt}-{pid}-{server}"))
            except OSError:
                continue  # another process was quicker
            claimed.append(found[1])
        return sorted(claimed)

    def _write(self, name: str, data: bytes) -> None:
        """A file appears whole or not at all."""
        temporary = self._path(f".{name}.{os.getpid()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(temporary, flags, 0o600)
        except FileExistsError:  # a process of the same number died in the middle of it
            os.unlink(temporary)
            file = os.open(temporary, flags, 0o600)
        try:
            try:
                if self._owner != os.geteuid():
                    os.fchown(file, self._owner, -1)
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
            finally:
                os.close(file)
            os.rename(temporary, self._path(name))
        except OSError:
            os.unlink(temporary)
            raise

    def _prune(self) -> None:
        names = self._names()
        reports = sorted(found[1] for found in map(_REPORT.fullmatch, names) if found)
        kept = set(reports[-self.keep :])
        for name in names:
            known = _REPORT.fullmatch(name) or _PENDING.fullmatch(name)
            if (known and known[1] not in kept) or (name.endswith(".tmp") and self._is_stale(name)):
                self._remove(name)

    def _is_stale(self, name: str) -> bool:
        try:
            newest = os.lstat(self.directory).st_mtime
            return newest - os.lstat(self._path(name)).st_mtime > _STALE_AFTER
        except OSError:
            return False

    def _remove(self, name: str) -> None:
        try:
            os.unlink(self._path(name))
        except OSError:
            return  # another process did it

    # --- reading ------------------------------------------------------------------------------------------------------

    def ids(self, since: float = 0.0) -> list[str]:
        """The names of all reports that were made since then (unix time), the newest first."""
        earliest = f"{int(since * 1000):012x}"
        names = (found[1] for found in map(_REPORT.fullmatch, self._names()) if found)
        return sorted((name for name in names if name[:8] + name[9:13] >= earliest), reverse=True)

    def reports(self, since: float = 0.0) -> Iterator[Report]:
        """All that can be read, the newest first; those made before unix time `since` are left out."""
        for report_id in self.ids(since):
            try:
                yield self.read(report_id)
            except NoSuchReport:
                continue

    def read(self, report_id: str) -> Report:
        """The report of that name, which may be cut where it is still the only one that begins so. NoSuchReport."""
        wanted = report_id.strip().lower()
        ids = [known for known in self.ids() if wanted and known.startswith(wanted)]
        if len(ids) != 1:
            reason = f"{len(ids)} reports begin with" if ids else "there is no report"
            raise NoSuchReport(f"{reason} '{report_id}' in {self.directory}")
        try:
            report = json.loads(self._content(f"{ids[0]}.json"))
        except (OSError, ValueError) as error:
            raise NoSuchReport(f"the report {ids[0]} in {self.directory} cannot be read: {error}") from None
        if not isinstance(report, dict) or report.get("id") != ids[0]:
            raise NoSuchReport(f"the file {ids[0]}.json in {self.directory} is no report")
        return report

    def undelivered(self) -> list[str]:
        """The names of the reports that the application has not been told of, the oldest first."""
        return sorted({found[1] for found in map(_PENDING.fullmatch, self._names()) if found})

    def _content(self, name: str) -> bytes:
        file = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, self._owner, os.geteuid()):
                raise OSError(errno.EPERM, "it is somebody else's")
            return opened.read(_MOST_BYTES)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.directory)
        except OSError:
            return []

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def ring_of(settings: Settings, environ: Mapping[str, str]) -> Ring | None:
    """The ring of a server with these settings, see `reports.place`; None when it keeps no reports."""
    place = place_of(settings, environ)
    return None if place is None else Ring(place.directory, settings.reports.harakiri_keep, owner=place.owner)


def _lives(pid: int) -> bool:
    return pid > 0 and os.path.exists(f"/proc/{pid}")
