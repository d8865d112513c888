"""`kill -9` of a worker under load: which requests fail, and how soon its successor serves.

    python benchmarks/kill_worker.py [--clients 16] [--processes 2] [--kills 5]

Each client opens a connection per request, so that a failed answer is a request in flight in the killed worker.
Exit code 0 when no kill costs more requests than the worker had cores, and every successor served within a second.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field

from measuring import Gone, Server, ask, connect, wait_for

PAUSE = "0.005"
"""Seconds that the application takes for each request."""


@dataclass(slots=True)
class Seen:
    """What the clients saw; appending is atomic."""

    answered: list[tuple[float, int]] = field(default_factory=list)
    """Moment and worker pid of each answer."""
    failed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)


def client(address: tuple[str, int], seen: Seen, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            connection = connect(address)
        except ConnectionError:
            seen.refused.append(time.monotonic())
            continue
        with connection:
            try:
                pid = int(ask(connection, PAUSE, close=True).body)
            except (Gone, ConnectionError):
                seen.failed.append(time.monotonic())
            else:
                seen.answered.append((time.monotonic(), pid))


def serving(seen: Seen, since: float) -> set[int]:
    """Pids of the workers that answered after a moment."""
    return {pid for moment, pid in list(seen.answered) if moment > since}


def kill_one(seen: Seen, processes: int) -> tuple[int, float]:
    """Kill a worker; how many requests failed, and the seconds until its successor answered."""
    start = time.monotonic()
    wait_for(lambda: len(serving(seen, start)) == processes, 10, "all workers to serve")
    before = serving(seen, start)
    failed = len(seen.failed)
    killed = time.monotonic()
    os.kill(min(before), signal.SIGKILL)
    wait_for(lambda: serving(seen, killed) - before, 10, "the successor to serve")
    back = min(moment for moment, pid in list(seen.answered) if moment > killed and pid not in before)
    return len(seen.failed) - failed, back - killed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    seen, stop = Seen(), threading.Event()
    options = ("--disable-logging", "--processes", str(arguments.processes))
    with Server(*options, module="hello:pid_after_pause") as server:
        clients = [threading.Thread(target=client, args=(server.address, seen, stop)) for _ in range(arguments.clients)]
        for thread in clients:
            thread.start()
        try:
            results = [kill_one(seen, arguments.processes) for _ in range(arguments.kills)]
        finally:
            stop.set()
            for thread in clients:
                thread.join(30)
    for number, (failed, back) in enumerate(results, 1):
        print(f"kill {number}: {failed} failed, successor served after {back * 1000:.0f} ms")
    print(f"{len(seen.answered)} answered, {len(seen.failed)} failed, {len(seen.refused)} refused")
    good = all(failed <= 1 and back < 1 for failed, back in results) and not seen.refused
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
