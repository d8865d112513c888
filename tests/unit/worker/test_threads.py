"""The lookout takes the lead from a leader that is stuck in a request, and from no other."""

from __future__ import annotations

import threading
import time

from tests.support.waiting import wait_until
from uwsgi_deploy.worker.engines.lookout import Lookout, withdraw


def test_lead_is_taken_from_a_leader_that_takes_long() -> None:
    leadership = threading.Lock()
    lookout = Lookout(leadership.release)
    leadership.acquire()
    offer = lookout.offer()
    lookout.served += 1
    wait_until(lambda: not leadership.locked(), 5)
    assert not withdraw(offer)


def test_offer_that_was_withdrawn_is_never_taken() -> None:
    """Each is taken once: by its leader, or by the lookout if the machine let the leader wait for ticks in between."""
    rescued: list[bool] = []
    lookout = Lookout(lambda: rescued.append(True))
    lost = 0
    for _ in range(200):
        offer = lookout.offer()
        lookout.served += 1
        lost += not withdraw(offer)
        time.sleep(0.0002)  # the pause of a leader that polls: several ticks of the lookout in all
    assert lost < 100
    wait_until(lambda: len(rescued) == lost, 5)


def test_lookout_that_slept_is_woken() -> None:
    leadership = threading.Lock()
    lookout = Lookout(leadership.release)
    for _ in range(2):
        leadership.acquire()
        lookout.offer()
        lookout.served += 1
        wait_until(lambda: not leadership.locked(), 5)
        wait_until(lambda: not lookout._bell.is_rung, 5)
