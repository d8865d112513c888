"""When a worker has done its work: max-requests, and how much memory it may use. Decides; who acts is the worker.

Looking is cheap: requests are counted anyway, and memory is looked at after a request at most every `MEMORY_TICK`
seconds. Before `min-worker-lifetime` nothing takes effect, so that a limit that a fresh worker breaks at once cannot
make the server fork all the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.process import memory
from uwsgi_deploy.process.memory import MEBIBYTE, Shares, Usage

MEMORY_TICK = 0.1
# USS and PSS are dear: the kernel walks through all pages of the process.
SHARES_TICK = 1.0
NEVER = sys.maxsize
NO_TIME = float("inf")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, 0 means none."""

    rss: int = 0
    address_space: int = 0
    uss: int = 0
    pss: int = 0

    @property
    def tick(self) -> float:
        """Seconds between two looks at the memory; infinite when nothing is limited."""
        if self.uss or self.pss:
            return SHARES_TICK
        return MEMORY_TICK if self.rss or self.address_space else NO_TIME


def broken_limit(limits: Limits, used: Usage | None, own: Shares | None) -> str:
    """Which limit is broken and by how much, in uWSGI's words; empty when none is."""
    sizes: list[tuple[str, int, int]] = []
    if used is not None:
        sizes += [
            ("reload-on-as", used.address_space, limits.address_space),
            ("reload-on-rss", used.resident, limits.rss),
        ]
    if own is not None:
        sizes += [("reload-on-uss", own.unique, limits.uss), ("reload-on-pss", own.proportional, limits.pss)]
    return next((f"{name} limit reached ({size} >= {most})" for name, size, most in sizes if most and size >= most), "")


class Retirement:
    """Watches one worker. It is worth a `verdict` when `requests` or the instant `look_at` (monotonic) is reached."""

    def __init__(
        self,
        settings: Settings,
        wid: int,
        born: float,
        *,
        usage: Callable[[], Usage | None] = memory.usage,
        shares: Callable[[], Shares | None] = memory.shares,
    ) -> None:
        workers, recycling = settings.workers, settings.recycling
        self._usage, self._shares = usage, shares
        self._most_requests = most = workers.max_requests and workers.max_requests + workers.max_requests_delta * (
            wid - 1
        )
        self._limits = Limits(
            rss=recycling.reload_on_rss * MEBIBYTE,
            address_space=recycling.reload_on_as * MEBIBYTE,
            uss=recycling.reload_on_uss * MEBIBYTE,
            pss=recycling.reload_on_pss * MEBIBYTE,
        )
        self._grown_up = born + recycling.min_worker_lifetime
        self._tick = self._limits.tick
        self.condemned = ""
        self._over = False
        self.requests = most or NEVER
        self.look_at = self._grown_up if self._tick != NO_TIME else NO_TIME

    def verdict(self, requests: int, now: float) -> str:
        """Why the worker has done its work, or an empty string; `requests` it has served, `now` monotonic seconds."""
        if self.condemned:
            return self.condemned
        if now < self._grown_up:
            self.requests = NEVER
            self.look_at = self._grown_up
            return ""
        if self._most_requests and requests >= self._most_requests:
            return f"max requests reached ({requests} >= {self._most_requests})"
        self.requests = self._most_requests or NEVER
        if self._tick == NO_TIME:
            self.look_at = NO_TIME
            return ""
        self.look_at = now + self._tick
        own = self._shares() if self._limits.uss or self._limits.pss else None
        return broken_limit(self._limits, self._usage(), own)

    def condemn(self, reason: str) -> None:
        """The worker is to go when its present request is over, however young it is."""
        if not self._over:
            self.condemned, self.requests = reason, 0

    def decided(self) -> None:
        """Never look again."""
        self._over = True
        self.requests, self.look_at = NEVER, NO_TIME
