"""What a master tells its own next image: its children, its sockets, its pid file, and what it was doing.

`execve` keeps the pid, the children and the open descriptors, and nothing else. The manifest travels as an unnamed file
of plain values: rows name their fields, so that the next image may be of another version of this package; what it does
not know is left out. Whoever else in the master has something to pass on registers it under a name (`Keepsakes`).
"""

from __future__ import annotations

import dataclasses
import marshal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, TypeAlias, TypeVar

from uwsgi_deploy.image import read_unnamed
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker, WorkerSlot
from uwsgi_deploy.master.reload_rows import Outcome, Reload, ReloadKind, Stage
from uwsgi_deploy.master.rows import Template
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.process.pidfile import PidFile
from uwsgi_deploy.shared.lodging import BoardRow
from uwsgi_deploy.types import Protocol

Row: TypeAlias = dict[str, Any]
Keepsake: TypeAlias = Callable[[], tuple[Any, Sequence[int]]]
"""Gives plain values for the next image, and descriptors that must stay open for it."""
T = TypeVar("T")

PLAIN = frozenset({bool, int, float, str, bytes, tuple, type(None)})
ENUMS: Mapping[str, type[Enum]] = {
    "phase": Phase,
    "kind": ReloadKind,
    "again_kind": ReloadKind,
    "stage": Stage,
    "protocol": Protocol,
}
"""Fields that are written as the value of an enum."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """See the module. channels: generation of a template -> descriptor. previous: the image that was served until now,
    when the new one differs from it. failure: why that image is being returned to. signals: arrived and not obeyed yet.
    """

    fleet: Row
    channels: dict[int, int]
    listeners: list[Row]
    pidfiles: list[Row]
    boards: list[Row]
    previous: bytes | None = None
    failure: str = ""
    signals: tuple[int, ...] = ()
    keepsakes: dict[str, Any] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """This as bytes."""
        return marshal.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """What `encode` made."""
        fields = marshal.loads(data)
        return cls(**{name: value for name, value in fields.items() if name in cls.__slots__})

    def restored_listeners(self) -> tuple[Listener, ...]:
        """The sockets of the former image, as they are."""
        return tuple(
            restored(Listener, {**row, "socket": socket.socket(fileno=row["descriptor"])}) for row in self.listeners
        )

    def restored_pidfiles(self) -> tuple[PidFile, ...]:
        """The former image's pid files, still locked."""
        return tuple(restored(PidFile, row) for row in self.pidfiles)

    def restored_boards(self) -> list[BoardRow]:
        """The former image's scoreboards."""
        return [restored(BoardRow, row) for row in self.boards]


def take_manifest(descriptor: int) -> Manifest:
    """The manifest that the former image left in an unnamed file."""
    return Manifest.decode(read_unnamed(descriptor))


def row_of(thing: Any) -> Row:
    """The plain fields of a dataclass instance; others are their owner's business."""
    row: Row = {}
    for known in dataclasses.fields(thing):
        value = getattr(thing, known.name)
        if known.name in ENUMS:
            value = value.value
        if isinstance(value, IntEnum):
            value = int(value)  # a signal, where a number is meant
        # The very types: marshal refuses others that are derived from them, and the master would not come back.
        if type(value) in PLAIN:
            row[known.name] = value
    return row


def restored(kind: type[T], row: Mapping[str, Any]) -> T:
    """An instance of `kind` with the fields of `row` that it knows."""
    known = {known.name for known in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: ENUMS[name](value) if name in ENUMS else value for name, value in row.items() if name in known}
    return kind(**values)


def listener_row(listener: Listener) -> Row:
    """A listener without its Python object."""
    return {**row_of(listener), "descriptor": listener.socket.fileno()}


# --- the fleet --------------------------------------------------------------------------------------------------------

# Attributes of the fleet that are plain values and outlive the image.
COUNTERS = (
    "template_failures",
    "template_not_before",
    "booted",
    "asleep",
    "adjusted",
    "last_activity",
    "leaving_since",
    "leaves_at",
    "paused",
    "resumed",
    "last_reload",
    "last_serial",
    "last_generation",
)


def fleet_row(fleet: Fleet) -> Row:
    """The whole table."""
    return {
        **{name: getattr(fleet, name) for name in COUNTERS},
        "elastic": bool(fleet.cheaper.cheaper),
        "slots": [{**row_of(slot), "workers": [row_of(worker) for worker in slot.workers]} for slot in fleet.slots],
        "templates": [row_of(template) for template in fleet.templates],
        "reload": None if fleet.reload is None else row_of(fleet.reload),
        "outcomes": [row_of(outcome) for outcome in fleet.outcomes],
    }


def restore_fleet(fleet: Fleet, row: Row) -> None:
    """Fill a new fleet, whose settings may be other ones, with the rows of the former image's."""
    for name in COUNTERS:
        setattr(fleet, name, row.get(name, getattr(fleet, name)))
    fleet.slots = tuple(
        restored(WorkerSlot, {**slot, "workers": [restored(Worker, worker) for worker in slot["workers"]]})
        for slot in row["slots"]
    )
    fleet.resize(fleet.size, elastic=row.get("elastic", False))
    fleet.templates = [restored(Template, template) for template in row["templates"]]
    fleet.reload = None if row["reload"] is None else restored(Reload, row["reload"])
    fleet.skip_loading()
    fleet.outcomes = [restored(Outcome, outcome) for outcome in row["outcomes"]]


def places_of(row: Row) -> list[tuple[int, int]]:
    """(worker number, bank) of every worker process in a fleet's row."""
    return [(worker["wid"], worker["bank"]) for slot in row["slots"] for worker in slot["workers"]]


def generations_of(row: Row) -> list[int]:
    """The generations of the living templates in a fleet's row."""
    return [template["generation"] for template in row["templates"]]
