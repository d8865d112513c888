"""`kill -9` of random workers and templates for a minute under load, and of the master at last: what is lost and left.

    python benchmarks/kill_storm.py [--kills 1000] [--seconds 60] [--processes 4] [--threads 1] [--clients 8] [--seed N]

Half of the clients keep their connection, half open one for each request. The application notes which process began
which request, so that a request that fails is known to have been in a killed worker.

Exit code 0 when only requests on killed workers failed, nobody was refused, somebody was answered in every second, all
processes are there again and no other, the master has no more descriptors and shared memory than before and at most
1 MB more memory, and two seconds after `kill -9` of the master no process is left.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import Gone, Server, ask, connect, session_pids, wait_for

PAUSE = "0.002"
"""Seconds that the application takes for each request."""
LONGEST_GAP = 1.0
MOST_GROWTH = 1 << 20
TEMPLATES = 0.1
"""Share of the kills that go to templates, also while they load, and to the children in which they fork workers."""
SOON = 0.3
"""Seconds after a kill in which a client may learn that its request was lost before the application saw it."""
WORKER, TEMPLATE = "worker", "template"

BEGUN = "begun by a worker that was killed"
UNSEEN = "on a killed worker, not begun"
REFUSED = "refused"
LOST = "lost on no killed worker"
EXCUSED = frozenset({BEGUN, UNSEEN})


@dataclass(frozen=True, slots=True)
class Possessions:
    """What a process holds. shared: number and bytes of its shared mappings; memory: its private bytes in RAM."""

    descriptors: int
    shared: tuple[int, int]
    memory: int

    def __str__(self) -> str:
        number, size = self.shared
        return (
            f"{self.descriptors} descriptors, {number} shared mappings of {size / 1024:.0f} kB, "
            f"{self.memory / 1024:.0f} kB of its own"
        )


def possessions(pid: int) -> Possessions:
    ranges = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, permissions = line.split()[:2]
        if permissions.endswith("s"):
            start, end = (int(address, 16) for address in addresses.split("-"))
            ranges.append(end - start)
    status = Path(f"/proc/{pid}/status").read_text()
    memory = int(status.split("RssAnon:")[1].split()[0]) * 1024
    return Possessions(len(os.listdir(f"/proc/{pid}/fd")), (len(ranges), sum(ranges)), memory)


def role(pid: int) -> str:
    """What a process is by its title; empty when it has ended."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
    return next((known for known in (WORKER, TEMPLATE) if f"uWSGI {known}" in title), "")


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was not answered. pid: the worker of its connection, 0 when no answer has told it."""

    name: str
    moment: float
    pid: int
    refused: bool


class Load:
    """Clients that ask without end, and what they saw. Appending is atomic."""

    def __init__(self, address: tuple[str, int], clients: int) -> None:
        self.answered: list[float] = []
        self.failures: list[Failure] = []
        self._address, self._over = address, threading.Event()
        lives: tuple[Callable[[int], None], ...] = (self._keep, self._ask_once)
        self._threads = [threading.Thread(target=lives[n % 2], args=(n,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(40)

    def _ask_once(self, client: int) -> None:
        for number in itertools.takewhile(lambda _: not self._over.is_set(), itertools.count()):
            self._talk(f"{client}-{number}", requests=1)

    def _keep(self, client: int) -> None:
        for number in itertools.takewhile(lambda _: not self._over.is_set(), itertools.count()):
            self._talk(f"{client}-{number}", requests=200)

    def _talk(self, prefix: str, *, requests: int) -> None:
        """So many requests on one connection, or until it ends."""
        pid, name, refused = 0, prefix, True
        try:
            with connect(self._address) as connection:
                refused = False
                for number in range(1, requests + 1):
                    name = f"{prefix}-{number}"
                    answer = ask(connection, f"{name}={PAUSE}", close=requests == 1)
                    pid = int(answer.body)
                    self.answered.append(time.monotonic())
                    if answer.closing or self._over.is_set():
                        return
        except (Gone, OSError, ValueError):
            self.failures.append(Failure(name, time.monotonic(), pid, refused))

    def longest_gap(self) -> float:
        """Seconds that passed at most between two answers, whoever got them."""
        moments = sorted(self.answered)
        return max((after - before for before, after in itertools.pairwise(moments)), default=0.0)


def storm(server: Server, *, kills: int, seconds: float, choice: random.Random) -> dict[int, tuple[float, str]]:
    """Kill children of the master at even distances; pid -> moment and role of those who were killed."""
    master, distance = server.process.pid, seconds / kills
    due = start = time.monotonic()
    done: dict[int, tuple[float, str]] = {}
    while len(done) < kills and time.monotonic() < start + 1.5 * seconds + 5:
        due += distance
        time.sleep(max(distance / 2, due - time.monotonic()))  # late by little: made up for, but never a burst
        roles = {pid: role(pid) for pid in server.pids() if pid != master and pid not in done}
        wanted = TEMPLATE if choice.random() < TEMPLATES else WORKER
        victims = [pid for pid, what in roles.items() if what == wanted]
        if not victims:
            continue
        victim = choice.choice(victims)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        done[victim] = (time.monotonic(), wanted)
    return done


def judge(failure: Failure, killed: dict[int, tuple[float, str]], begun: dict[str, int]) -> str:
    """Why a request failed."""
    if failure.refused:
        return REFUSED
    if begun.get(failure.name) in killed:
        return BEGUN
    if failure.name in begun:
        return LOST
    if failure.pid in killed or any(0 <= failure.moment - moment <= SOON for moment, _ in killed.values()):
        return UNSEEN
    return LOST


def is_complete(server: Server, processes: int) -> bool:
    """The workers are there, a template perhaps, and nobody else."""
    roles = Counter(role(pid) for pid in server.pids() if pid != server.process.pid)
    return roles in ({WORKER: processes}, {WORKER: processes, TEMPLATE: 1})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="kill-storm-") as folder:
        problems = run(arguments, Path(folder) / "journal")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0


def run(arguments: argparse.Namespace, journal: Path) -> list[str]:
    """The whole of it; what was not as it should be."""
    options = ("--disable-logging", "--auto-procname", "--processes", str(arguments.processes))
    if arguments.threads > 1:
        options += ("--threads", str(arguments.threads))
    with Server(*options, module="hello:journal", JOURNAL=str(journal)) as server:
        master = server.process.pid
        with Load(server.address, arguments.clients) as load:
            wait_for(lambda: len(load.answered) > 100, 30, "the first answers")
            # The first deaths bring what the master needs once: memory for them, a second template.
            killed = storm(server, kills=20, seconds=1.0, choice=random.Random(arguments.seed))
            wait_for(lambda: is_complete(server, arguments.processes), 30, "all processes to be there")
            before, start = possessions(master), time.monotonic()
            done = storm(
                server, kills=arguments.kills, seconds=arguments.seconds, choice=random.Random(arguments.seed + 1)
            )
            took = time.monotonic() - start
            killed |= done
            wait_for(lambda: is_complete(server, arguments.processes), 30, "all processes, and no other, to be there")
            count = len(load.answered)
            wait_for(lambda: len(load.answered) > count + 100, 30, "answers after the storm")
        after = possessions(master)
        begun = {name: int(pid) for name, pid in map(str.split, journal.read_text().splitlines())}
        failed = Counter(judge(failure, killed, begun) for failure in load.failures)
        roles = Counter(what for _, what in done.values())
        gap = load.longest_gap()
        print(f"killed {roles[WORKER]} workers and {roles[TEMPLATE]} templates in {took:.1f} s")
        print(f"{len(load.answered)} answered, {len(load.failures)} failed: {dict(failed)}")
        print(f"longest time without an answer {gap * 1000:.0f} ms")
        print(f"master before: {before}\nmaster after:  {after}")
        for failure in (one for one in load.failures if judge(one, killed, begun) == LOST):
            since = min(
                (failure.moment - moment for moment, _ in killed.values() if moment < failure.moment), default=0
            )
            print(f"lost: {failure}, begun by {begun.get(failure.name)}, {since:.2f} s after the last kill")
        unexcused = {why: number for why, number in failed.items() if why not in EXCUSED}
        checks = {
            "fewer kills than asked for": len(done) < arguments.kills,
            f"requests failed that were on no killed worker: {unexcused}": bool(unexcused),
            "the service was down": gap > LONGEST_GAP,
            "the master has more descriptors": after.descriptors > before.descriptors,
            "the master has more shared memory": after.shared > before.shared,
            "the master has more memory": after.memory - before.memory > MOST_GROWTH,
        }
        os.kill(master, signal.SIGKILL)
        server.process.wait(10)
        time.sleep(2.0)
        left = session_pids(master)
        print(f"2 s after kill -9 of the master: {len(left)} processes left")
        checks["processes outlived the master"] = bool(left)
        checks[f"a traceback in the log:\n{server.log[-4000:]}"] = "Traceback" in server.log
    return [problem for problem, is_there in checks.items() if is_there]


if __name__ == "__main__":
    sys.exit(main())
