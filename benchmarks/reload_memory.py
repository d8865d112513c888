"""A thousand reloads of a small application: the master's memory, descriptors and shared memory stay what they were.

    python benchmarks/reload_memory.py [--times 1000] [--processes 2] [--kind hup|chain|workers]

Every reload is waited for. With `hup` the master executes itself anew each time; `chain` and `workers` replace the
workers of one and the same image. Figures of the master: Anonymous (KiB that it has written, whether or not it still
shares them with the template that was forked from it), open descriptors, KiB of shared memory that it maps. Exit code
0 when after all reloads no figure is above that after the tenth by more than `--tolerance` KiB (descriptors: by none).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from measuring import Server, wait_for

FIFO_BYTES = {"chain": "c", "workers": "w"}
WARM = 10
COMPLETE = "*** reload complete"


class Figures(NamedTuple):
    anonymous: int
    descriptors: int
    shared: int
    processes: int


def figures(server: Server) -> Figures:
    """The master's, at rest."""
    pid = server.process.pid
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    anonymous = sum(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))
    shared = 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.split()[1][3] == "s":
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            shared += (end - start) // 1024
    return Figures(anonymous, len(os.listdir(f"/proc/{pid}/fd")), shared, len(server.pids()))


def row(number: int, seen: Figures) -> str:
    return f"{number:8d} {seen.anonymous:13d} {seen.descriptors:12d} {seen.shared:11d} {seen.processes:10d}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kind", choices=("hup", *FIFO_BYTES), default="hup")
    parser.add_argument("--tolerance", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fifo = Path(folder) / "fifo"
        options = ("--disable-logging", "--processes", str(arguments.processes), "--master-fifo", str(fifo))
        with Server(*options, module="hello") as server:
            start = figures(server)
            print(f"{'reloads':>8s} {'anonymous KiB':>13s} {'descriptors':>12s} {'shared KiB':>11s} {'processes':>10s}")
            print(row(0, start))
            warm = last = start
            began = time.monotonic()
            for number in range(1, arguments.times + 1):
                if arguments.kind == "hup":
                    server.process.send_signal(signal.SIGHUP)
                else:
                    fifo.write_text(FIFO_BYTES[arguments.kind])
                wait_for(lambda number=number: server.log.count(COMPLETE) >= number, 60, f"reload {number}")
                if number == WARM or number % 100 == 0 or number == arguments.times:
                    wait_for(lambda: len(server.pids()) == start.processes, 60, "the old processes to end")
                    time.sleep(0.2)
                    last = figures(server)
                    warm = last if number == WARM else warm
                    print(row(number, last), flush=True)
            print(f"{(time.monotonic() - began) / arguments.times:.3f} s for each reload")
    good = (
        last.anonymous <= warm.anonymous + arguments.tolerance
        and last.shared <= warm.shared + arguments.tolerance
        and last.descriptors <= warm.descriptors
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
