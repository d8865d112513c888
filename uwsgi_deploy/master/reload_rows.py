"""The rows of the fleet that are about reloads: what is on its way in, how far it is, and how the last ones ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ReloadKind(Enum):
    """What is new after a reload, and how the old leave. By value: the word in messages."""

    WHOLE = "reload"  # configuration, server code, application; one worker after the other
    BRUTAL = "brutal reload"  # the same, and when it is loaded all old workers leave at once
    CHAIN = "chain reload"  # workers only, in order of their numbers
    WORKERS = "reload of the workers"
    BRUTAL_WORKERS = "brutal reload of the workers"
    RESTART = "restart"  # everything, after the last old worker has gone: nobody serves meanwhile, clients wait
    RETURN = "return"  # what a failed reload replaced comes back


class Stage(Enum):
    """How far a reload is."""

    CHECKING = "checking"  # a child reads the configuration
    EMPTYING = "emptying"  # all workers leave
    REPLACING = "replacing"  # it is right: the master executes itself anew
    LOADING = "loading"  # a template loads the application
    ROLLING = "rolling"  # workers are replaced


FIRST_STAGE = {
    ReloadKind.WHOLE: Stage.CHECKING,
    ReloadKind.BRUTAL: Stage.CHECKING,
    ReloadKind.RESTART: Stage.CHECKING,
    ReloadKind.CHAIN: Stage.ROLLING,
    ReloadKind.WORKERS: Stage.ROLLING,
    ReloadKind.BRUTAL_WORKERS: Stage.ROLLING,
    ReloadKind.RETURN: Stage.ROLLING,
}

RENEWING = (ReloadKind.WHOLE, ReloadKind.BRUTAL, ReloadKind.RESTART, ReloadKind.RETURN)
"""Kinds that bring settings and server code, so that gateways are replaced, too."""

EXCLUSIVE = (Stage.EMPTYING, Stage.REPLACING, Stage.ROLLING)
"""Stages in which nobody else decides about workers."""

RANK = {
    ReloadKind.CHAIN: 0,
    ReloadKind.WORKERS: 0,
    ReloadKind.BRUTAL_WORKERS: 0,
    ReloadKind.WHOLE: 1,
    ReloadKind.BRUTAL: 2,
    ReloadKind.RESTART: 3,
}
"""Which one counts when several are wanted."""


@dataclass(slots=True)
class Reload:
    """What is on its way in. `id` names it to whoever asks how it ended.

    beyond: the newest generation of before. after: the last worker ordered before; workers up to it are old where no
    generation is the `target` that all shall have. failure: why it is to be given up. losses: templates of the new that
    died. again: id and kind of the one that follows. victim, told_at: the worker number that a chain reload is at, and
    when that was last logged.
    """

    id: int
    kind: ReloadKind
    stage: Stage
    beyond: int
    after: int
    target: int | None = None
    failure: str = ""
    losses: int = 0
    again: int = 0
    again_kind: ReloadKind = ReloadKind.WHOLE
    victim: int = 0
    told_at: float = 0.0

    @property
    def promoted(self) -> bool:
        """Whether it replaces workers now."""
        return self.stage in (Stage.EMPTYING, Stage.ROLLING)

    @property
    def checked(self) -> Stage:
        """What follows when there is nothing (more) to check."""
        return Stage.EMPTYING if self.kind is ReloadKind.RESTART else Stage.REPLACING

    @property
    def brutal(self) -> bool:
        """Whether old workers leave at once."""
        return self.kind in (ReloadKind.BRUTAL, ReloadKind.BRUTAL_WORKERS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reload ended."""

    id: int
    ok: bool
    message: str
