"""What a service manager is told follows from the fleet, once."""

from __future__ import annotations

import os

from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.reload_rows import ReloadKind
from uwsgi_deploy.master.rows import Template
from uwsgi_deploy.master.supervisor import Supervisor


class FakeNotifier:
    """Remembers what was sent."""

    def __init__(self, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self.sent: list[tuple[str, ...]] = []

    def send(self, *assignments: str) -> None:
        self.sent.append(assignments)


def serving() -> Fleet:
    """A fleet whose only worker is ready."""
    fleet = Fleet(1, mercy=60.0)
    fleet.templates.append(Template(fleet.next_generation(), 100, ready=True))
    worker = fleet.ordered(1, 0, 1, 0.0)
    fleet.born(worker, 101, 0.0)
    worker.move(Phase.READY)
    fleet.booted = True
    return fleet


def test_a_life() -> None:
    """Start, readiness, reload, stop: each is said when it begins, with a line for people."""
    notifier = FakeNotifier()
    supervisor = Supervisor(notifier)  # type: ignore[arg-type]
    supervisor.tell(Fleet(1, mercy=60.0), 1.0)
    fleet = serving()
    supervisor.tell(fleet, 2.0)
    fleet.begin_reload(ReloadKind.WHOLE)
    supervisor.tell(fleet, 3.5)
    fleet.reload = None
    supervisor.tell(fleet, 4.0)
    fleet.begin_stop(5.0)
    supervisor.tell(fleet, 5.0)
    assert notifier.sent == [
        ("STATUS=loading the application",),
        ("READY=1", f"MAINPID={os.getpid()}", "STATUS=1 worker serves"),
        ("RELOADING=1", "MONOTONIC_USEC=3500000", "STATUS=1 worker serves (reloading)"),
        ("READY=1", f"MAINPID={os.getpid()}", "STATUS=1 worker serves"),
        ("STOPPING=1", "STATUS=stopping, 1 processes left"),
    ]


def test_nothing_new_is_nothing_said() -> None:
    notifier = FakeNotifier()
    supervisor = Supervisor(notifier)  # type: ignore[arg-type]
    fleet = serving()
    supervisor.tell(fleet, 1.0)
    supervisor.tell(fleet, 2.0)
    assert len(notifier.sent) == 1
    assert fleet.alarm is None


def test_signs_of_life_come_twice_per_watchdog_interval() -> None:
    """And the master is woken for them although nothing happens."""
    notifier = FakeNotifier(watchdog=2.0)
    supervisor = Supervisor(notifier)  # type: ignore[arg-type]
    fleet = serving()
    for instant in (10.0, 10.5, 11.0, 12.0):
        fleet.alarm = None
        supervisor.tell(fleet, instant)
    assert [lines for lines in notifier.sent if "WATCHDOG=1" in lines[-1]] == [
        ("READY=1", f"MAINPID={os.getpid()}", "STATUS=1 worker serves", "WATCHDOG=1"),
        ("WATCHDOG=1",),
        ("WATCHDOG=1",),
    ]
    assert fleet.alarm == 13.0


def test_an_earlier_alarm_is_kept() -> None:
    notifier = FakeNotifier(watchdog=20.0)
    fleet = serving()
    fleet.alarm = 3.0
    Supervisor(notifier).tell(fleet, 1.0)  # type: ignore[arg-type]
    assert fleet.alarm == 3.0
