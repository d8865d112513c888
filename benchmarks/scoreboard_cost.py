"""What a request pays for being watched, in nanoseconds: the record of its core, and the counters.

    python benchmarks/scoreboard_cost.py [--rounds 500]

Each figure is the least of many short rounds, so that other work on the machine does not count, without the loop that
it takes to measure. `begin` makes the request known to the master with its deadline (harakiri), `end` takes it back,
`count` keeps the counters for `status` and the log. `watched` is what serving pays so that a late request can be
interrupted (see `worker.deadlines`); `harakiri` is all that the limit costs: begin, watched and end together, and
`by path` the same where `harakiri-routes` names two paths.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from uwsgi_deploy.config.settings import HarakiriSettings, Settings
from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker.accounting import Accounting
from uwsgi_deploy.worker.deadlines import Deadlines
from uwsgi_deploy.wsgi.lifecycle import SERVED
from uwsgi_deploy.wsgi.response import Response

ENVIRON = {"REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "GET", "REQUEST_URI": "/shop/items/4711?page=3&order=price"}
ENVIRON["PATH_INFO"] = "/shop/items/4711"
_CALLS = 2000


class Answered(Response):
    """What counting looks at."""

    def __init__(self) -> None:
        self.status, self.sent_body, self.head_size = 200, 1234, 180


def nanoseconds(call: Callable[[], object], rounds: int) -> float:
    """Of one call, in the best of `rounds`."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        for _ in range(_CALLS):
            call()
        best = min(best, (time.perf_counter_ns() - began) / _CALLS)
    return best


def watched(deadlines: Deadlines, response: Response, started: float) -> None:
    """What `Worker.serve` does around a request, without the request."""
    running, watched, core = deadlines.running, deadlines.watched, 1
    running[core] = response
    try:
        running[core] = None
    except HarakiriTimeout:
        watched[core] = started
    if watched[core]:
        raise AssertionError("it is in time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    rounds = parser.parse_args().rounds
    scoreboard = Scoreboard(4, 2)
    scoreboard.occupy(2, 0, generation=1, started=1)
    limited = HarakiriSettings(harakiri=30)
    routed = HarakiriSettings(harakiri=30, harakiri_routes=("^/export/=90", "^/events/=off"))
    accounting, by_path = (Accounting(Settings(harakiri=each), scoreboard, 2, print) for each in (limited, routed))
    deadlines = Deadlines(limited, accounting.cores, print)
    by_path.use_routes(Deadlines(routed, by_path.cores, print).limit_of_path)
    response, now = Answered(), time.monotonic()
    empty = nanoseconds(lambda: None, rounds)

    def whole(by: Accounting) -> None:
        by.begin(ENVIRON, now, 1, 9)
        watched(deadlines, response, now)
        by.end(1)

    for name, call in (
        ("begin", lambda: accounting.begin(ENVIRON, now, 1, 9)),
        ("end", lambda: accounting.end(1)),
        ("watched", lambda: watched(deadlines, response, now)),
        ("harakiri", lambda: whole(accounting)),
        ("by path", lambda: whole(by_path)),
        ("count", lambda: accounting.count(response, 0.001, SERVED)),
    ):
        print(f"{name:10} {nanoseconds(call, rounds) - empty:6.0f} ns")


if __name__ == "__main__":
    main()
