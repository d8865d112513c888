"""What a request pays for being watched, in nanoseconds: the record of its core, and the counters.

    python benchmarks/scoreboard_cost.py [--rounds 500]

Each figure is the least of many short rounds, so that other work on the machine does not count, without the loop that
it takes to measure. `begin` makes the request known to the master with its deadline (harakiri), `end` takes it back,
`count` keeps the counters for `status` and the log.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from uwsgi_deploy.config.settings import HarakiriSettings, Settings
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker.accounting import Accounting
from uwsgi_deploy.wsgi.lifecycle import SERVED
from uwsgi_deploy.wsgi.response import Response

ENVIRON = {"REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "GET", "REQUEST_URI": "/shop/items/4711?page=3&order=price"}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    rounds = parser.parse_args().rounds
    scoreboard = Scoreboard(4, 2)
    scoreboard.occupy(2, 0, generation=1, started=1)
    accounting = Accounting(Settings(harakiri=HarakiriSettings(harakiri=30)), scoreboard, 2, print)
    response, now = Answered(), time.monotonic()
    empty = nanoseconds(lambda: None, rounds)
    print(f"begin  {nanoseconds(lambda: accounting.begin(ENVIRON, now, 1, 9), rounds) - empty:6.0f} ns")
    print(f"end    {nanoseconds(lambda: accounting.end(1), rounds) - empty:6.0f} ns")
    print(f"count  {nanoseconds(lambda: accounting.count(response, 0.001, SERVED), rounds) - empty:6.0f} ns")


if __name__ == "__main__":
    main()
