"""What the master makes of a worker: whose stack it is in what faulthandler has written, who set a limit."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure
from uwsgi_deploy.master.hard_incident import _limit_origin, _stacks
from uwsgi_deploy.shared.scoreboard import Running, RunningRequest

RUNNING = Running(2, 100.0, 130.0, by_user=False)

TEXT = """\
Thread 0x00007f0000000002 (most recent call first):
  File "/srv/uwsgi_deploy/native.py", line 41 in wait

Current thread 0x00007f0000000001 (most recent call first):
  File "/srv/app.py", line 9 in hold
  File "/srv/uwsgi_deploy/wsgi/lifecycle.py", line 43 in handle_request
  File "/srv/uwsgi_deploy/worker/worker.py", line 240 in serve
"""


def request(thread: int) -> RunningRequest:
    return RunningRequest("10.0.0.1", "GET", "/hold?x=1", thread)


@pytest.mark.parametrize("thread", [0x7F0000000001, 0])
def test_the_thread_in_which_the_request_runs(thread: int) -> None:
    """The one that the core named; for greenlets, which are no threads, the one that runs a request."""
    victim, others = _stacks(TEXT, RUNNING, request(thread))
    assert victim is not None
    assert (victim.name, [frame.function for frame in victim.frames]) == ("GET /hold", ["hold"])
    assert [stack.frames[0].function for stack in others] == ["wait"]


def test_a_thread_that_is_not_shown() -> None:
    """Somebody else's stack is not taken for it."""
    victim, others = _stacks(TEXT, RUNNING, request(0x7F0000000009))
    assert victim is None
    assert len(others) == 2


def test_greenlets_that_could_be_shown() -> None:
    """Those of the request's core, and not what ran at that moment."""
    shown = 'Greenlets of cores 2 5 (most recent call first):\n  File "/srv/app.py", line 3 in mine\n'
    victim, others = _stacks(TEXT + shown, RUNNING, request(0))
    assert victim is not None
    assert [frame.function for frame in victim.frames] == ["mine"]
    assert len(others) == 2


def test_no_stack() -> None:
    """A suspended worker shows none, one that was killed in between a part of them."""
    assert _stacks("", RUNNING, request(0xABC)) == (None, ())
    assert _stacks("Thread 0xabc (most recent call first):\n", RUNNING, request(0xABC)) == (None, ())


@pytest.mark.parametrize(
    ("running", "asked", "origin"),
    [
        (RUNNING, request(1), "harakiri"),
        (Running(2, 100.0, 105.0, by_user=True), request(1), "uwsgi.set_user_harakiri"),
        (
            Running(2, 100.0, 103.0, by_user=False),
            RunningRequest("", "GET", "/quick?b", 0),
            "harakiri-routes: ^/quick",
        ),
        (Running(2, 100.0, 102.0, by_user=False), RunningRequest("", "GET", "/", 0, "list"), "harakiri-routes: list"),
        (Running(2, 100.0, 109.0, by_user=False), request(1), "the application (@harakiri)"),
    ],
)
def test_who_set_the_limit(running: Running, asked: RunningRequest, origin: str) -> None:
    """As far as the number tells."""
    options = ("--harakiri", "30", "--harakiri-routes", "^/quick=3", "--harakiri-routes", "list=2")
    assert _limit_origin(configure(*options).settings, running, asked) == origin
