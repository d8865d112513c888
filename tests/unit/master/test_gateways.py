"""When gateways are started, exchanged and ended, and what waits for them. Pure: fleets, instants, actions."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.unit.master.support import add_worker, fleet_of
from uwsgi_deploy.config.settings import GatewaySettings, Settings, SocketSettings
from uwsgi_deploy.master.actions import (
    Action,
    CloseListeners,
    Dismiss,
    KillGateway,
    OrderWorker,
    StartGateway,
    StopTemplate,
    TellGateway,
    WakeAt,
)
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.gateways import GatewayProcess, GatewaySlot, adopt_gateways, slots_of, to_rows
from uwsgi_deploy.master.milestones import all_ready
from uwsgi_deploy.master.policies.gateways import gateways
from uwsgi_deploy.master.policies.reload import reload
from uwsgi_deploy.master.policies.respawn import respawn
from uwsgi_deploy.master.policies.stop import EXTRA_GRACE, IMMEDIATE_GRACE, stop
from uwsgi_deploy.master.reload_rows import ReloadKind, Stage

MERCY = 60.0 + EXTRA_GRACE


def behind_router(*, workers: int = 1, ready: bool = True) -> Fleet:
    """A fleet that serves behind one gateway, process 50."""
    fleet = fleet_of(workers, ready=ready)
    fleet.gateways = [GatewaySlot(1, [GatewayProcess(50, 0.0, ready=True)])]
    return fleet


def actions(fleet: Fleet, now: float = 0.0) -> list[Action]:
    return list(gateways(fleet, now))


def rolling(fleet: Fleet, kind: ReloadKind = ReloadKind.WHOLE) -> None:
    """A reload that exchanges processes now."""
    fleet.begin_reload(kind)
    assert fleet.reload is not None
    fleet.reload.stage = Stage.ROLLING


def test_servers_without_a_router_load_none_of_it() -> None:
    code = (
        "import sys, uwsgi_deploy.worker.worker, uwsgi_deploy.worker.template, uwsgi_deploy.master.boot\n"
        "print([name for name in sys.modules if name.startswith('uwsgi_deploy')\n"
        "    and ('gateway' in name or 'routed' in name or 'private_socket' in name)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['uwsgi_deploy.config.settings.gateway']"


def test_rows_of_the_settings() -> None:
    """As many numbers as processes were asked for, none without an address."""
    assert slots_of(Settings(gateway=GatewaySettings(http_processes=3))) == []
    three = slots_of(Settings(gateway=GatewaySettings(http=(":80",), http_processes=3)))
    assert [slot.number for slot in three] == [1, 2, 3]


def test_a_router_whose_servers_are_elsewhere_has_no_workers() -> None:
    """Unless they have a socket of their own."""
    alone = Settings(gateway=GatewaySettings(http=(":80",), http_to=("10.0.0.1:3031",)))
    assert not alone.has_workers
    assert Settings(gateway=GatewaySettings(http=(":80",))).has_workers
    assert Settings(SocketSettings(socket=(":3031",)), gateway=alone.gateway).has_workers
    assert Settings(gateway=GatewaySettings(http_to=("10.0.0.1:3031",))).has_workers


def test_a_gateway_starts_when_the_application_is_loaded() -> None:
    fleet = fleet_of(1)
    fleet.gateways = [GatewaySlot(1)]
    assert actions(fleet) == [StartGateway(1)]
    fleet.templates.clear()
    assert actions(fleet) == []
    alone = Fleet(0, mercy=60.0)
    alone.gateways = [GatewaySlot(1)]
    assert actions(alone) == [StartGateway(1)]
    assert list(respawn(alone, 0.0)) == []


def test_a_start_waits_for_gateways() -> None:
    fleet = behind_router()
    assert all_ready(fleet)
    fleet.gateways[0].processes[0].ready = False
    assert not all_ready(fleet)
    alone = Fleet(0, mercy=60.0)
    alone.gateways = [GatewaySlot(1, [GatewayProcess(50, 0.0, ready=True)])]
    assert all_ready(alone)


def test_one_that_failed_waits_its_time() -> None:
    fleet = behind_router()
    fleet.gateways[0].processes.clear()
    fleet.gateways[0].not_before = 5.0
    assert actions(fleet, 4.0) == [WakeAt(5.0)]
    assert actions(fleet, 5.0) == [StartGateway(1)]


def test_only_a_reload_with_new_settings_exchanges_gateways() -> None:
    """And then the new one accepts before the old one leaves, and both before any worker is replaced."""
    fleet = behind_router()
    rolling(fleet, ReloadKind.WORKERS)
    assert actions(fleet) == []
    fleet.end_reload(ok=True, message="")
    fleet.begin_reload(ReloadKind.WHOLE)
    assert actions(fleet) == []  # nothing is loaded yet
    rolling(fleet)
    assert actions(fleet) == [StartGateway(1)]
    assert list(reload(fleet, 0.0)) == []
    new = GatewayProcess(51, 1.0)
    fleet.gateways[0].processes.append(new)
    assert actions(fleet) == []
    assert list(reload(fleet, 0.0)) == []
    new.ready = True
    assert actions(fleet) == [TellGateway(50, signal.SIGHUP, MERCY)]
    fleet.gateways[0].processes[0].told = signal.SIGHUP
    assert actions(fleet) == []
    assert OrderWorker(1, 1) in list(reload(fleet, 0.0))


def test_numbers_that_are_not_wanted_any_more_leave_in_the_reload() -> None:
    fleet = behind_router()
    fleet.gateways[0].wanted = False
    fleet.begin_reload(ReloadKind.WHOLE)
    assert actions(fleet) == []
    rolling(fleet)
    assert actions(fleet) == [TellGateway(50, signal.SIGHUP, MERCY)]


def test_a_reload_that_fails_brings_the_former_router_back() -> None:
    """Although no worker was replaced yet."""
    fleet = behind_router()
    rolling(fleet)
    fleet.gateways[0].processes.append(GatewayProcess(51, 1.0, ready=True))
    fleet.give_up_reload("for a test")
    assert fleet.returns
    assert all(process.is_old for process in fleet.gateways[0].processes)
    assert actions(fleet) == [StartGateway(1)]


def test_a_reload_without_workers_has_nothing_to_load() -> None:
    fleet = Fleet(0, mercy=60.0)
    fleet.booted = fleet.can_execute = True
    fleet.begin_reload(ReloadKind.WHOLE)
    fleet.begin_loading()
    assert fleet.reload is not None
    assert fleet.reload.stage is Stage.ROLLING


def test_at_the_end_workers_stay_until_gateways_have_gone() -> None:
    """Those that die meanwhile are replaced; then the rest of the time is theirs."""
    fleet = behind_router(workers=2)
    fleet.begin_stop(10.0)
    assert actions(fleet, 10.0) == [TellGateway(50, signal.SIGTERM, MERCY)]
    assert list(stop(fleet, 10.0)) == [CloseListeners()]
    (worker,) = fleet.slot(1).workers
    fleet.gone(worker)
    assert list(respawn(fleet, 11.0)) == [OrderWorker(1, 0)]
    fleet.gateways[0].processes.clear()
    assert list(respawn(fleet, 11.0)) == []
    assert list(stop(fleet, 30.0)) == [CloseListeners(), StopTemplate(1)]
    fleet.templates.clear()
    (last,) = [worker for worker in fleet.workers() if worker.phase is Phase.READY]
    assert list(stop(fleet, 30.0)) == [CloseListeners(), Dismiss(last.serial, signal.SIGTERM, MERCY - 20.0)]
    assert list(stop(fleet, 200.0))[1:] == [Dismiss(last.serial, signal.SIGTERM, IMMEDIATE_GRACE)]


def test_at_an_immediate_end_all_leave_at_once() -> None:
    fleet = behind_router()
    add_worker(fleet, 1)
    fleet.begin_stop(0.0)
    assert fleet.stop is not None
    fleet.gateways[0].processes[0].told = signal.SIGTERM
    fleet.stop.immediate = True
    assert actions(fleet) == [TellGateway(50, signal.SIGQUIT, IMMEDIATE_GRACE)]
    assert [action for action in stop(fleet, 0.0) if isinstance(action, Dismiss)]
    assert not fleet.is_gone


def test_mercy_ends() -> None:
    """One that does not leave in time is killed, whatever else is going on."""
    fleet = behind_router()
    process = fleet.gateways[0].processes[0]
    process.told, process.deadline = signal.SIGHUP, 5.0
    assert actions(fleet, 4.0)[0] == WakeAt(5.0)
    assert actions(fleet, 5.0)[0] == KillGateway(50)


def test_rows_survive_a_re_execution() -> None:
    """By their numbers; numbers beyond the new settings' are there until their processes are gone."""
    old = [GatewaySlot(1, [GatewayProcess(50, 1.0, ready=True)], failures=1), GatewaySlot(2, [GatewayProcess(51, 2.0)])]
    new = [GatewaySlot(1)]
    adopt_gateways(new, to_rows([*old, GatewaySlot(3)]))
    assert [(slot.number, slot.wanted, [each.pid for each in slot.processes]) for slot in new] == [
        (1, True, [50]),
        (2, False, [51]),
    ]
    assert new[0].failures == 1
    assert all(process.ready for slot in new for process in slot.processes)
