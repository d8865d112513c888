"""The table: its state machine is total, its look-ups and deadlines are right."""

from __future__ import annotations

import itertools

import pytest

from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.master.fleet import TRANSITIONS, Fleet, Phase
from uwsgi_deploy.master.reload_rows import FIRST_STAGE, ReloadKind
from uwsgi_deploy.master.rows import Template


def test_every_phase_has_its_transitions() -> None:
    """The table of transitions is total."""
    assert set(TRANSITIONS) == set(Phase)
    assert set(FIRST_STAGE) == set(ReloadKind)


@pytest.mark.parametrize(("start", "end"), list(itertools.product(Phase, Phase)))
def test_transitions(start: Phase, end: Phase) -> None:
    """A worker goes only where the table lets it."""
    fleet = Fleet(1, mercy=1.0)
    worker = fleet.ordered(1, 0, 1, 0.0)
    worker.phase = start
    if end in TRANSITIONS[start]:
        worker.move(end)
        assert worker.phase is end
    else:
        with pytest.raises(AssertionError, match="cannot go from"):
            worker.move(end)


def test_life_of_a_row() -> None:
    """Ordered, born, ready, told to go, gone: found by serial and pid, and counted in its slot."""
    fleet = Fleet(2, mercy=1.0)
    worker = fleet.ordered(2, 0, 1, 5.0)
    assert worker.is_first
    assert fleet.worker_of_serial(worker.serial) is worker
    assert fleet.slot(2).free_bank == 1
    fleet.born(worker, 77, 6.0)
    assert (fleet.worker_of_pid(77), worker.born) == (worker, 6.0)
    assert fleet.slot(2).staying == [worker]
    worker.move(Phase.READY)
    fleet.told(worker, 15, 66.0)
    assert fleet.slot(2).staying == []
    assert 66.0 in list(fleet.deadlines())
    fleet.gone(worker)
    assert fleet.worker_of_pid(77) is None
    assert not fleet.ordered(2, 0, 1, 7.0).is_first


def test_templates() -> None:
    """The newest loaded one takes orders; the one that is loading is the candidate; failed ones are neither."""
    fleet = Fleet(1, mercy=1.0)
    assert fleet.is_gone
    old = Template(fleet.next_generation(), 10, ready=True)
    new = Template(fleet.next_generation(), 11)
    fleet.templates += [old, new]
    assert (fleet.template, fleet.candidate) == (old, new)
    assert not fleet.is_gone
    new.failed = True
    assert fleet.candidate is None
    new.failed, new.ready = False, True
    assert (fleet.template, fleet.candidate) == (new, None)
    new.stopping = True
    assert fleet.template is old
    assert fleet.template_of_pid(11) is new
    assert fleet.template_of_generation(1) is old


def test_stop_keeps_its_first_cause() -> None:
    """The error that ended a start is not overwritten, and a running reload is over."""
    fleet = Fleet(1, mercy=1.0)
    fleet.begin_reload(ReloadKind.WHOLE)
    error = ServerError("first")
    fleet.begin_stop(1.0, error=error)
    fleet.begin_stop(2.0, error=ServerError("second"))
    assert fleet.stop is not None
    assert (fleet.stop.since, fleet.stop.error) == (1.0, error)
    assert fleet.reload is None


def test_orders_whose_template_died_are_known() -> None:
    """Also to a master that was executed anew: it looks for those workers in the scoreboard."""
    fleet = Fleet(2, mercy=60)
    fleet.templates.append(Template(1, pid=10, ready=True))
    first, second = fleet.ordered(1, 0, 1, 0.0), fleet.ordered(2, 0, 2, 0.0)
    assert fleet.orphaned_generations() == {2}
    fleet.templates.clear()
    fleet.born(first, 11, 0.0)
    assert fleet.orphaned_generations() == {2}
    fleet.gone(second)
    assert fleet.orphaned_generations() == set()
