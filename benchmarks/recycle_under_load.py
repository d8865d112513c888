"""Workers are replaced, started and stopped under load: what clients lose, and how long they wait.

    python benchmarks/recycle_under_load.py [--seconds 20] [--clients 8] [--processes 2] [--threads 1]

Half of the clients keep their connection, half connect anew for each request. A request that was sent and got no whole,
right answer is lost; a kept connection that was closed before the next request was sent is not. The longest stall is
the longest time from a client's wish to its whole answer, the machine's and this program's own pauses included.

max-requests: every worker is replaced after 50 requests. reload-on-rss: every request leaks 200 kB, a worker is
replaced at 60 MiB. cheaper: the number of workers goes up and down five times a second.
"""

from __future__ import annotations

import argparse
import re
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from measuring import Gone, Server, ask, connect

BODY = b"leaked\n"
AT_ONCE = ("--min-worker-lifetime", "0")
LEAK = "200000"


@dataclass(frozen=True, slots=True)
class Case:
    """query: how many bytes a request leaks. changed: lines of the log that are counted as workers that have gone."""

    options: Sequence[str]
    changed: str
    query: str = ""
    signals: Sequence[int] = ()


CASES = {
    "max-requests": Case(("--max-requests", "50", *AT_ONCE), r"^worker \d+ killed successfully"),
    "reload-on-rss": Case(("--reload-on-rss", "60", *AT_ONCE), r"^worker \d+ killed successfully", query=LEAK),
    "cheaper": Case(
        ("--cheaper", "1", "--cheaper-algo", "manual"),
        r"^uWSGI worker \d+ cheaped",
        signals=(signal.SIGTTIN, signal.SIGTTOU),
    ),
}


@dataclass(slots=True)
class Seen:
    """What the clients saw."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    answered: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    stall: float = 0.0

    def note(self, began: float, loss: str = "") -> None:
        with self.lock:
            self.stall = max(self.stall, time.monotonic() - began)
            if loss:
                self.lost[loss] += 1
            else:
                self.answered += 1


def client(address: tuple[str, int], query: str, seen: Seen, stop: threading.Event, *, keep: bool) -> None:
    connection = None
    while not stop.is_set():
        began = time.monotonic()
        try:
            if connection is not None and select.select([connection], [], [], 0)[0]:
                connection.close()  # closed between two requests, and seen before the next one was sent
                connection = None
            if connection is None:
                connection = connect(address)
            answer = ask(connection, query, close=not keep)
            seen.note(began, "" if answer.body == BODY else f"wrong answer {answer.body[:80]!r}")
            if answer.closing or not keep:
                connection.close()
                connection = None
        except (Gone, OSError) as error:
            seen.note(began, repr(error))
            connection = None
        time.sleep(0.005)
    if connection is not None:
        connection.close()


def measure(name: str, case: Case, arguments: argparse.Namespace) -> bool:
    """One row; whether nothing was lost and something was replaced."""
    seen, stop = Seen(), threading.Event()
    options = ["--disable-logging", "--processes", str(arguments.processes), "--threads", str(arguments.threads)]
    with Server(*options, *case.options, module="leaking") as server:
        clients = [
            threading.Thread(
                target=client, args=(server.address, case.query, seen, stop), kwargs={"keep": number % 2 == 0}
            )
            for number in range(arguments.clients)
        ]
        for thread in clients:
            thread.start()
        end = time.monotonic() + arguments.seconds
        while time.monotonic() < end:
            for number in case.signals:
                server.process.send_signal(number)
                time.sleep(0.1)
            time.sleep(0.01)
        stop.set()
        for thread in clients:
            thread.join(35)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(30)
        changes = len(re.findall(case.changed, server.log, re.M))
        alarms = re.findall(r".*(?:DAMN|NO MERCY|Traceback).*", server.log)
    lost = sum(seen.lost.values())
    print(row(name, (str(seen.answered + lost), str(lost), str(changes), f"{seen.stall * 1000:.0f} ms")), flush=True)
    for line in (*seen.lost, *alarms[:3]):
        print(f"    {line}")
    return not lost and not alarms and changes > 0 and code == 0


def row(name: str, cells: Sequence[str]) -> str:
    return f"{name:15s}" + "".join(f"{cell:>15s}" for cell in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, default=[])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each case")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(row("", ("requests", "lost", "workers gone", "longest stall")))
    results = [measure(name, CASES[name], arguments) for name in arguments.case or CASES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
