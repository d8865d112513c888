"""What the master opened before it began to supervise, and what its children use of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.image import Image
from uwsgi_deploy.master.intake.entrances import Entrance
from uwsgi_deploy.master.milestones import Milestones
from uwsgi_deploy.master.observe import Intake
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.process.pidfile import PidFile
from uwsgi_deploy.shared.lodging import LodgingScoreboard
from uwsgi_deploy.shared.stack_dump import StackChannel
from uwsgi_deploy.worker.template import Serve

if TYPE_CHECKING:  # loaded by those who have a router only
    from uwsgi_deploy.master.gateway_sockets import GatewaySockets


@dataclass(frozen=True, slots=True)
class Resources:
    """See the module. `private` are descriptors that children must close, at any time; `intakes` bring requests, the
    master watches them; `milestones` are reached in the first start.

    leaving, leaving_pidfiles, leaving_intakes: what the former configuration had, until its workers are replaced.
    image: what this process was started with; None where it cannot be executed anew. previous: the image before, while
    it may be needed.
    stacks: where workers show their stacks. keepsakes: plain values for the next image, and descriptors that must stay
    open for it.
    gateway: the sockets of the http router; None where there is none, and none is left of the former settings.
    write_pidfiles: writes them again and returns what went wrong.
    """

    settings: Settings
    listeners: tuple[Listener, ...]
    scoreboard: LodgingScoreboard
    serve: Serve
    private: Sequence[int] = ()
    intakes: tuple[Intake, ...] = ()
    milestones: Milestones | None = None
    leaving: tuple[Listener, ...] = ()
    pidfiles: Sequence[PidFile] = ()
    leaving_pidfiles: tuple[PidFile, ...] = ()
    image: Image | None = None
    previous: bytes | None = None
    stacks: StackChannel = field(default_factory=StackChannel)
    keepsakes: Mapping[str, tuple[Any, Sequence[int]]] = field(default_factory=dict)
    leaving_intakes: tuple[Entrance, ...] = ()
    gateway: GatewaySockets | None = None
    write_pidfiles: Callable[[], list[str]] = list

    @property
    def all_listeners(self) -> tuple[Listener, ...]:
        """Where workers and the http router accept."""
        if self.gateway is None:
            return self.listeners
        return (*self.listeners, *self.gateway.listeners_and_stats)
