"""The ways in for commands that have a place in the file system: opened, and handed on from image to image.

A master that executes itself anew keeps its FIFO and its control socket open: nobody finds it away, and no command is
lost. What the new settings put elsewhere is served at the former place, too, until the reload is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.control import OFF
from uwsgi_deploy.master.intake.control import ControlSocket, open_control
from uwsgi_deploy.master.intake.fifo import MasterFifo

KEEPSAKE = "entrances"
Entrance: TypeAlias = MasterFifo | ControlSocket


def open_entrances(
    settings: Settings, environ: Mapping[str, str], rows: Mapping[str, Sequence[Any]]
) -> tuple[tuple[Entrance, ...], tuple[Entrance, ...]]:
    """(those that the settings want, those of the former image that they do not). rows: of `to_rows`. BindError."""
    fifos = [MasterFifo((row[0],), former=row) for row in rows.get("fifos", ())]
    controls = [ControlSocket(row[0], former=row) for row in rows.get("controls", ())]
    wanted: list[Entrance] = []
    if settings.control.master_fifo:
        wanted.append(_fifo(settings.control.master_fifo, fifos))
    if settings.control.control_socket != OFF:
        control = open_control(settings.control.control_socket, environ, controls)
        if control is not None:
            wanted.append(control)
    former: list[Entrance] = [*fifos, *controls]
    return tuple(wanted), tuple(entrance for entrance in former if entrance not in wanted)


def _fifo(paths: Sequence[str], former: Iterable[MasterFifo]) -> MasterFifo:
    for fifo in former:
        if fifo.is_present and fifo.name_slots(paths):
            return fifo
    return MasterFifo(paths)


def to_rows(entrances: Iterable[Entrance]) -> tuple[dict[str, list[Any]], tuple[int, ...]]:
    """What the next image needs to go on with these, and the descriptors that it needs."""
    fifos = [entrance.to_row() for entrance in entrances if isinstance(entrance, MasterFifo)]
    controls = [entrance.to_row() for entrance in entrances if isinstance(entrance, ControlSocket)]
    rows: dict[str, list[Any]] = {
        "fifos": [row for row in fifos if row[1] >= 0],
        "controls": [row for row in controls if row[1] >= 0],
    }
    return rows, tuple(row[1] for group in rows.values() for row in group)
