"""What a master finds of its former image, and takes over piece by piece while it boots. At a start it is nothing.

Until everything was taken (`settle`) all descriptors stay open for another exec: a new image that cannot be started
gives everything back to the one before (`boot`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.manifest import Manifest, generations_of, places_of, restore_fleet
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.process.pidfile import PidFile
from uwsgi_deploy.shared.lodging import LodgingScoreboard, adopt_scoreboard


class Adoption:
    """What there is to adopt: all of `manifest`, nothing without one."""

    def __init__(self, manifest: Manifest | None) -> None:
        self.manifest = manifest
        self.listeners: tuple[Listener, ...] = ()
        self.is_settled = False
        self.pidfiles: tuple[PidFile, ...] = ()
        if manifest is not None:
            self.listeners = manifest.restored_listeners()
            self.pidfiles = manifest.restored_pidfiles()

    def leaving(self, listeners: Iterable[Listener]) -> tuple[Listener, ...]:
        """Sockets that are not among `listeners`: old workers still serve them."""
        taken = {listener.socket.fileno() for listener in listeners}
        return tuple(listener for listener in self.listeners if listener.socket.fileno() not in taken)

    def scoreboard(self, workers: int, cores: int) -> LodgingScoreboard:
        """The scoreboard for so many workers and cores, with everything that is known."""
        if self.manifest is None:
            return LodgingScoreboard(workers, cores)
        row = self.manifest.fleet
        return adopt_scoreboard(
            workers,
            cores,
            self.manifest.restored_boards(),
            occupied=places_of(row),
            generations=generations_of(row),
        )

    def fill(self, fleet: Fleet) -> None:
        """Write the former image's rows into a new fleet."""
        if self.manifest is None:
            return
        restore_fleet(fleet, self.manifest.fleet)
        if self.manifest.failure and fleet.reload is not None:
            fleet.reload.failure = self.manifest.failure

    def channels(self) -> Iterator[tuple[int, socket.socket]]:
        """(generation, our end of the channel) of every living template."""
        for generation, descriptor in () if self.manifest is None else self.manifest.channels.items():
            yield generation, socket.socket(fileno=descriptor)

    def signals(self) -> tuple[int, ...]:
        """Signals that the former image did not get to."""
        return () if self.manifest is None else self.manifest.signals

    def keepsake(self, name: str) -> Any:
        """What somebody left under `name`, None if nobody did."""
        return None if self.manifest is None else self.manifest.keepsakes.get(name)

    def settle(self) -> None:
        """Everything is in its place: from now on all of it closes on exec again."""
        self.is_settled = True
        for descriptor in () if self.manifest is None else self.manifest.descriptors:
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue  # whoever took it had no use for it and closed it
