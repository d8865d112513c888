"""What a master tells its next image survives the way there, whatever the fleet is just doing."""

from __future__ import annotations

import signal

import pytest

from tests.unit.master.support import add_worker, fleet_of
from uwsgi_deploy.config.settings import CheaperSettings
from uwsgi_deploy.master.cases import HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.manifest import Manifest, fleet_row, restore_fleet
from uwsgi_deploy.process.memory import Usage


def next_image(fleet: Fleet) -> Fleet:
    """The fleet that the next image makes of it."""
    manifest = Manifest(fleet=fleet_row(fleet), channels={1: 7}, listeners=[], pidfiles=[], boards=[])
    image = fleet_of(len(fleet.slots), cheaper=fleet.cheaper)
    restore_fleet(image, Manifest.decode(manifest.encode()).fleet)
    return image


@pytest.mark.parametrize("phase", Phase)
def test_workers_in_every_phase(phase: Phase) -> None:
    """Signals are numbers in the manifest; samples and cases are left behind, the next image looks for itself."""
    fleet = fleet_of(2, ready=True)
    worker = add_worker(fleet, 2, phase)
    if phase is Phase.LEAVING:
        fleet.told(worker, signal.SIGHUP, 61.5)
    worker.usage, worker.outlived = Usage(1 << 30, 1 << 20), True
    worker.case = HarakiriCase(0, 1.0, 2.0, by_user=False, until=3.0)
    restored = next_image(fleet).slot(2).workers[1]
    assert (restored.phase, restored.pid, restored.outlived) == (phase, worker.pid, True)
    assert (restored.told, restored.deadline) == ((1, 61.5) if phase is Phase.LEAVING else (0, None))
    assert (restored.usage, restored.case) == (None, None)


def test_size_and_sleep() -> None:
    fleet = fleet_of(4, cheaper=CheaperSettings(cheaper=2), ready=False)
    fleet.booted, fleet.adjusted = True, 12.5
    image = next_image(fleet)
    assert [slot.wid for slot in image.active] == [1, 2]
    assert (image.adjusted, image.asleep) == (12.5, False)
    fleet.sleep()
    assert next_image(fleet).asleep
