"""One look at how much the workers have to do: what the policies about their number decide on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """A worker that serves. busy: it runs a request. worked: seconds that this worker number has spent in requests,
    those that run included; only differences mean something."""

    wid: int
    busy: bool
    worked: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """The fleet at the monotonic instant `now`.

    arriving: workers that were started and do not serve yet. spare: worker numbers that could be started. backlog:
    clients in the listen queues. memory: bytes that all workers use.
    """

    now: float
    workers: tuple[WorkerLoad, ...]
    arriving: int = 0
    spare: int = 0
    backlog: int = 0
    memory: int = 0

    @property
    def active(self) -> int:
        """Workers that serve or are going to."""
        return len(self.workers) + self.arriving

    @property
    def idle(self) -> int:
        """Workers that could take a request now, or as soon as they serve."""
        return sum(1 for worker in self.workers if not worker.busy) + self.arriving
