"""How many workers to start or to stop by load: uWSGI's cheaper algorithms `spare`, `spare2`, `backlog`, `manual`.

An algorithm is asked once a second (a cycle). It keeps counters of its own between the cycles and changes nothing else;
it knows no clock. `busyness` has a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from uwsgi_deploy.config.settings import CheaperSettings
from uwsgi_deploy.master.load import Load
from uwsgi_deploy.master.policies.busyness import Busyness


class Change(NamedTuple):
    """Workers to start, or below zero to stop; `reason` is a line for the log, perhaps of a cycle without a change."""

    workers: int
    reason: str = ""


class Algorithm(Protocol):
    """See the module."""

    def decide(self, load: Load) -> tuple[int, str]:
        """What this cycle asks for; never more to start than are spare, never fewer than cheaper left."""


class Spare:
    """Start workers when for some cycles none was idle; stop one when for some cycles several were."""

    def __init__(self, settings: CheaperSettings) -> None:
        self._least, self._step, self._patience = settings.cheaper, settings.cheaper_step, settings.cheaper_overload
        self._overloaded = self._idle = 0

    def decide(self, load: Load) -> Change:
        """See `Algorithm`."""
        if load.idle == 0:
            self._overloaded += 1
            self._idle = 0
        elif self._overloaded > 0:
            self._overloaded -= 1
        if self._overloaded >= self._patience:
            self._overloaded = 0
            return Change(min(self._step, load.spare))
        if self._overloaded or load.idle <= 1:
            return Change(0)
        self._idle += 1
        enough = self._idle % self._patience == 0
        return Change(-1 if enough and load.active > self._least else 0)


class Spare2:
    """Keep as many idle workers as `cheaper` says; who is too many is stopped after `cheaper-idle` cycles."""

    def __init__(self, settings: CheaperSettings) -> None:
        self._wanted, self._step, self._patience = settings.cheaper, settings.cheaper_step, settings.cheaper_idle
        self._cycles = 0

    def decide(self, load: Load) -> Change:
        """See `Algorithm`."""
        if load.idle <= self._wanted:
            self._cycles = 0
            return Change(min(self._wanted - load.idle, load.spare, self._step))
        self._cycles += 1
        if self._cycles < self._patience:
            return Change(0)
        self._cycles = 0
        return Change(-1)


class Backlog:
    """Start workers while more clients wait than `cheaper-overload`, stop one per cycle while fewer do."""

    def __init__(self, settings: CheaperSettings) -> None:
        self._least, self._step, self._most = settings.cheaper, settings.cheaper_step, settings.cheaper_overload

    def decide(self, load: Load) -> Change:
        """See `Algorithm`."""
        if load.backlog > self._most:
            return Change(min(self._step, load.spare))
        return Change(-1 if load.backlog < self._most and load.active > self._least else 0)


class Manual:
    """Only people decide."""

    def decide(self, _load: Load) -> Change:
        """See `Algorithm`."""
        return Change(0)


BY_NAME: Mapping[str, Callable[[CheaperSettings], Algorithm]] = {
    "spare": Spare,
    "spare2": Spare2,
    "backlog": Backlog,
    "busyness": Busyness,
    "manual": lambda _settings: Manual(),
}
