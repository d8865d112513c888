"""Ten thousand workers that are replaced when their work is done (max-requests): does the master grow?

    python benchmarks/recycle_memory.py [--recycles 10000] [--processes 2] [--requests 1] [--clients 4]

Prints what master and template hold every tenth of the way. Exit code 0 when no request was lost, and the master has
no more descriptors and mappings at the end than after the first tenth, and at most 256 KB more memory of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple

from measuring import Gone, Server, ask, connect, wait_for

MOST_GROWTH = 256
"""Kilobytes."""
LONGEST_STANDSTILL = 30.0
RECYCLED = re.compile(rb"^worker \d+ killed successfully", re.M)


class Sample(NamedTuple):
    """What a process holds; memory in KB: in RAM, and of that its own."""

    descriptors: int
    mappings: int
    resident: int
    own: int


def sample(pid: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    resident, own = (int(status.split(f"{name}:")[1].split()[0]) for name in ("VmRSS", "RssAnon"))
    mappings = Path(f"/proc/{pid}/maps").read_text().count("\n")
    return Sample(len(os.listdir(f"/proc/{pid}/fd")), mappings, resident, own)


class Counter:
    """Counts the workers that have been replaced, in a log that grows."""

    def __init__(self, log: BinaryIO) -> None:
        self.count, self._log, self._rest = 0, log, b""

    def look(self) -> int:
        text = self._rest + self._log.read()
        whole, newline, self._rest = text.rpartition(b"\n")
        self.count += len(RECYCLED.findall(whole + newline))
        return self.count


def client(address: tuple[str, int], over: threading.Event, lost: list[str]) -> None:
    """A connection for each request: a worker that leaves need not wait for clients that may ask once more."""
    while not over.is_set():
        try:
            with connect(address) as connection:
                ask(connection, close=True)
        except (Gone, OSError) as error:
            lost.append(repr(error))


def run(server: Server, recycles: int) -> list[Sample]:
    """Wait until so many workers were replaced; what the master held at every tenth."""
    samples: list[Sample] = []
    master = server.process.pid
    template = next(pid for pid in server.pids() if "template" in Path(f"/proc/{pid}/cmdline").read_text())
    print(f"{'replaced':>10} {'seconds':>8} {'fds':>5} {'maps':>5} {'RSS KB':>8} {'own KB':>8}   template's own KB")
    start = since = time.monotonic()
    with open(server.log_path, "rb") as log:
        counter, last = Counter(log), 0
        while len(samples) < 10:
            time.sleep(0.05)
            count, now = counter.look(), time.monotonic()
            if count > last:
                last, since = count, now
            elif now - since > LONGEST_STANDSTILL:
                raise SystemExit(f"nobody was replaced for {LONGEST_STANDSTILL:g} s:\n{server.log[-4000:]}")
            if count >= recycles * (len(samples) + 1) // 10:
                samples.append(sample(master))
                fds, mappings, resident, own = samples[-1]
                theirs = sample(template).own
                print(f"{count:10} {now - start:8.1f} {fds:5} {mappings:5} {resident:8} {own:8}   {theirs}", flush=True)
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recycles", type=int, default=10000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--requests", type=int, default=1, help="max-requests")
    parser.add_argument("--clients", type=int, default=4)
    arguments = parser.parse_args()
    options = ("--disable-logging", "--auto-procname", "--min-worker-lifetime", "0")
    options += ("--processes", str(arguments.processes), "--max-requests", str(arguments.requests))
    lost: list[str] = []
    with Server(*options, module="hello") as server:
        over = threading.Event()
        clients = [threading.Thread(target=client, args=(server.address, over, lost)) for _ in range(arguments.clients)]
        for thread in clients:
            thread.start()
        try:
            samples = run(server, arguments.recycles)
        finally:
            over.set()
            for thread in clients:
                thread.join(40)
        master = server.process.pid
        wait_for(lambda: sample(master).descriptors <= samples[0].descriptors, 10, "the descriptors of the beginning")
        wait_for(lambda: len(server.pids()) == arguments.processes + 2, 10, "all processes, and no other, to be there")
    first, last = samples[0], samples[-1]
    problems = {
        f"{len(lost)} requests were lost: {lost[:3]}": bool(lost),
        "the master has more mappings": last.mappings > first.mappings,
        f"the master has {last.own - first.own} KB more of its own": last.own - first.own > MOST_GROWTH,
    }
    for problem in (problem for problem, is_there in problems.items() if is_there):
        print(f"PROBLEM: {problem}")
    return 1 if any(problems.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
