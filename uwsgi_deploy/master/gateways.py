"""The master's rows about gateways, the processes of the routers. The table; `policies.gateways` decides.

Rows travel over a re-execution of the master (`to_rows`, `adopt_gateways`): a gateway is known by its kind and number.
Loaded only where a router is configured, or still runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uwsgi_deploy.config.settings import Settings

KEEPSAKE = "gateways"  # the name of the rows for the next image of the master

KEPT = ("failures", "not_before", "spawned", "served")
KEPT_OF_PROCESS = ("pid", "born", "told", "deadline", "is_old")


@dataclass(slots=True)
class GatewayProcess:
    """One process. Instants are monotonic seconds.

    waits: the descriptor on which it says that it is ready, -1 when it did. told: the last signal that was meant to end
    it; deadline: when it is killed. is_old: it was started before the reload that runs.
    """

    pid: int
    born: float
    ready: bool = False
    waits: int = -1
    told: int = 0
    deadline: float | None = None
    is_old: bool = False

    @property
    def state(self) -> str:
        """The word for it in reports."""
        return "leaving" if self.told else "ready" if self.ready else "starting"


@dataclass(slots=True)
class GatewaySlot:
    """A gateway: the kind of router and a number. It has two processes while one replaces the other.

    failures: ends soon after the start, in a row. spawned: processes so far. served: whether one was ever ready.
    wanted: whether the settings have this number.
    """

    number: int
    processes: list[GatewayProcess] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0
    spawned: int = 0
    served: bool = False
    wanted: bool = True
    kind: str = "http"

    @property
    def name(self) -> str:
        """What its processes are called in titles and in the log."""
        return f"uWSGI {self.kind} {self.number}"

    @property
    def staying(self) -> list[GatewayProcess]:
        """Processes that were not told to end, oldest first."""
        return [process for process in self.processes if not process.told]

    @property
    def is_ready(self) -> bool:
        """Whether somebody accepts clients."""
        return any(process.ready for process in self.staying)

    @property
    def is_new(self) -> bool:
        """Whether one of the present settings accepts clients, and no older one stays."""
        return self.is_ready and not any(process.is_old for process in self.staying)


def slots_of(settings: Settings) -> list[GatewaySlot]:
    """A row for each gateway of the settings."""
    return [
        GatewaySlot(number, kind=router.kind)
        for router in settings.routers
        for number in range(1, router.processes + 1)
    ]


# --- over a re-execution of the master --------------------------------------------------------------------------------


def to_rows(slots: Iterable[GatewaySlot]) -> list[dict[str, Any]]:
    """Plain values that `adopt_gateways` understands."""
    return [
        {
            "kind": slot.kind,
            "number": slot.number,
            **{name: getattr(slot, name) for name in KEPT},
            "processes": [{name: getattr(each, name) for name in KEPT_OF_PROCESS} for each in slot.processes],
        }
        for slot in slots
    ]


def adopt_gateways(slots: list[GatewaySlot], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the former image's rows into the present ones; numbers that there are no more are added as unwanted."""
    for row in rows:
        slot = next((slot for slot in slots if (slot.kind, slot.number) == (row["kind"], row["number"])), None)
        # Its pipe is gone with the former image: one that was on its way in has arrived since, or its end is seen.
        processes = [GatewayProcess(**{**each, "ready": True}) for each in row["processes"]]
        if slot is None:
            if not processes:
                continue
            slot = GatewaySlot(row["number"], wanted=False, kind=row["kind"])
            slots.append(slot)
        slot.processes = processes
        for name in KEPT:
            setattr(slot, name, row[name])
