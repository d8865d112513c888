"""Rows and rules of daemons, with simulated time."""

from __future__ import annotations

from uwsgi_deploy.config.daemons import DaemonSpec
from uwsgi_deploy.master.actions import Action, KillDaemon, LookAtDaemon, StartDaemon, TellDaemon
from uwsgi_deploy.master.daemons import Daemon, adopt_daemons, bury, to_rows
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.observe import Exit
from uwsgi_deploy.master.policies.daemons import daemons
from uwsgi_deploy.master.reload_rows import ReloadKind

PLAIN = DaemonSpec("attach-daemon = a", "a", frequency=10)
SMART = DaemonSpec("smart-attach-daemon2 = p b", "b", pidfile="p")


def fleet_of(*rows: Daemon) -> Fleet:
    fleet = Fleet(1, mercy=60)
    fleet.daemons = list(rows)
    return fleet


def steps(fleet: Fleet, now: float) -> list[Action]:
    return list(daemons(fleet, now))


def test_what_is_missing_is_started() -> None:
    fleet = fleet_of(Daemon(PLAIN), Daemon(SMART))
    assert steps(fleet, 0) == [StartDaemon(0), LookAtDaemon(1)]
    fleet.daemons[0].pid, fleet.daemons[1].next_look = 7, 10.0
    assert steps(fleet, 9) == []
    assert steps(fleet, 10) == [LookAtDaemon(1)]


def test_one_that_dies_young_waits_longer_each_time() -> None:
    """1, 2, 4 … seconds, at most what it says itself; a long life makes good for it."""
    daemon = Daemon(DaemonSpec("k", "a", longest_throttle=5))
    pauses = []
    for _ in range(5):
        daemon.pid, daemon.born = 7, 100.0
        assert not bury(daemon, Exit(7, 1, 0), 101.0)
        pauses.append(daemon.not_before - 101.0)
    assert pauses == [1, 2, 4, 5, 5]
    fleet = fleet_of(daemon)
    assert steps(fleet, 105.9) == []
    assert list(fleet.deadlines()).count(106.0) == 2
    assert steps(fleet, 106) == [StartDaemon(0)]
    daemon.pid, daemon.born = 7, 106.0
    bury(daemon, Exit(7, 1, 0), 116.0)
    assert steps(fleet, 116) == [StartDaemon(0)]


def test_it_is_stopped_after_the_workers_and_killed_in_time() -> None:
    fleet = fleet_of(Daemon(PLAIN, pid=7), Daemon(SMART, pid=8))
    worker = fleet.ordered(1, 0, 1, 0.0)
    fleet.begin_stop(0.0)
    assert steps(fleet, 0) == []
    fleet.gone(worker)
    assert steps(fleet, 1) == [TellDaemon(0, 15)]
    assert not fleet.is_gone
    fleet.daemons[0].told, fleet.daemons[0].deadline = 15, 4.0
    assert steps(fleet, 3) == []
    assert 4.0 in fleet.deadlines()
    assert steps(fleet, 4) == [KillDaemon(0)]
    bury(fleet.daemons[0], Exit(7, 0, 9), 5.0)
    assert fleet.is_gone


def test_an_immediate_stop_does_not_wait_for_workers() -> None:
    fleet = fleet_of(Daemon(PLAIN, pid=7))
    fleet.ordered(1, 0, 1, 0.0)
    fleet.begin_stop(0.0)
    assert fleet.stop is not None
    fleet.stop.immediate = True
    assert steps(fleet, 0) == [TellDaemon(0, 15)]


def test_a_reload_restarts_what_was_there_before_it() -> None:
    fleet = fleet_of(Daemon(PLAIN, pid=7), Daemon(SMART, pid=8), Daemon(DaemonSpec("k", "c", reload_signal=1), pid=9))
    fleet.begin_reload(ReloadKind.WHOLE)
    fleet.daemons.append(Daemon(PLAIN, pid=10))  # the new configuration brought it
    for daemon in fleet.daemons:
        daemon.next_look = 99.0
        daemon.restart()
    assert steps(fleet, 0) == [TellDaemon(0, 15), TellDaemon(2, 1)]


def test_a_control_daemon_ends_the_server_unless_it_was_told_to_end() -> None:
    daemon = Daemon(DaemonSpec("k", "c", control=True), pid=7)
    daemon.told = 15
    assert not bury(daemon, Exit(7, 0, 0), 0.0)
    daemon.pid = 8
    assert bury(daemon, Exit(8, 0, 0), 0.0)


def test_rows_travel_to_the_next_image() -> None:
    """By the option's text; the same text twice is two; what is gone from the settings leaves after the reload."""
    rows = to_rows([Daemon(PLAIN, pid=7, born=3.0), Daemon(PLAIN, pid=8), Daemon(DaemonSpec("k", "gone"), pid=9)])
    fleet = fleet_of(Daemon(PLAIN), Daemon(PLAIN), Daemon(SMART))
    adopt_daemons(fleet.daemons, rows)
    assert [(daemon.spec.command, daemon.pid, daemon.leaving) for daemon in fleet.daemons] == [
        ("a", 7, False),
        ("a", 8, False),
        ("b", 0, False),
        ("gone", 9, True),
    ]
    assert fleet.daemons[0].born == 3.0
    fleet.daemons[2].next_look = 99.0
    fleet.begin_reload(ReloadKind.WHOLE)
    assert steps(fleet, 0) == []
    fleet.end_reload(ok=True, message="")
    assert steps(fleet, 0) == [TellDaemon(3, 15)]
