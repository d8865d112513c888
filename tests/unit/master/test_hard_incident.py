"""Whose stack it is, in what faulthandler has written of a worker."""

from __future__ import annotations

import pytest

from uwsgi_deploy.master.hard_incident import _stacks
from uwsgi_deploy.shared.scoreboard import RunningRequest

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
    victim, others = _stacks(TEXT, request(thread))
    assert victim is not None
    assert (victim.name, [frame.function for frame in victim.frames]) == ("GET /hold", ["hold"])
    assert [stack.frames[0].function for stack in others] == ["wait"]


def test_a_thread_that_is_not_shown() -> None:
    """Somebody else's stack is not taken for it."""
    victim, others = _stacks(TEXT, request(0x7F0000000009))
    assert victim is None
    assert len(others) == 2
