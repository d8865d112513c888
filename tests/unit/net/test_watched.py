"""What a worker whose reactor is watched by another loop tells its siblings: whether it has a free core."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.unit.net.test_reactor import LIMITS
from uwsgi_deploy.net.acceptor import Siblings
from uwsgi_deploy.net.watched import WatchedReactor


@pytest.fixture
def siblings() -> Iterator[Siblings]:
    """This process is the second of two."""
    call_fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield Siblings(memoryview(bytearray(2)), 1, call_fd)
    os.close(call_fd)


@pytest.fixture
def reactor(siblings: Siblings) -> Iterator[WatchedReactor]:
    made = WatchedReactor(
        (),
        LIMITS,
        cores=1,
        accept_at_once=1,
        wait=lambda *_: True,
        on_refused=lambda *_: None,
        on_gone=lambda *_: None,
        siblings=siblings,
    )
    yield made
    made.close()


def test_a_round_changes_nothing(reactor: WatchedReactor, siblings: Siblings) -> None:
    """A sibling that has no core must not take a client because this worker is in the middle of a round."""
    reactor.rest(is_idle=True)
    reactor.poll()
    assert siblings.idle.tolist() == [0, 1]
    reactor.rest(is_idle=False)
    reactor.poll()
    assert siblings.idle.tolist() == [0, 0]
    reactor.has_room()
    assert siblings.idle.tolist() == [0, 1]


def test_who_leaves_has_no_room(reactor: WatchedReactor, siblings: Siblings) -> None:
    reactor.rest(is_idle=True)
    reactor.drain(backlog=False)
    reactor.poll()
    reactor.rest(is_idle=True)
    assert siblings.idle.tolist() == [0, 0]
    reactor.has_room()
    assert siblings.idle.tolist() == [0, 0]


def test_oneself_is_nobody_else(siblings: Siblings) -> None:
    siblings.idle[1] = 1
    assert not siblings.anyone_idle()
    siblings.idle[0] = 1
    assert siblings.anyone_idle()
    siblings.idle[1] = 0
    assert siblings.anyone_idle()
