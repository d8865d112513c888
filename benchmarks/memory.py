"""Memory of all processes (PSS: shared pages count once) by number of workers, with an application loaded.

    python benchmarks/memory.py [--module small:application] [--workers 1,2,4,8] [--requests 200]

The default application is the smallest Django project (apps/small.py); `blog:application` is one with admin, sessions
and auth. Both need Django.
"""

from __future__ import annotations

import argparse
import sys

from measuring import Server, ask, connect

MEGABYTE = 1 << 20


def measure(module: str, workers: int, requests: int) -> float:
    """Megabytes of all processes together, after every worker has served."""
    with Server("--disable-logging", "--processes", str(workers), module=module) as server:
        for _ in range(requests * workers):
            with connect(server.address) as connection:
                ask(connection, close=True)
        return server.pss() / MEGABYTE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", default="small:application")
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--requests", type=int, default=200)
    arguments = parser.parse_args()
    rows: list[tuple[int, float]] = []
    print(f"{arguments.module}\n{'workers':>8s} {'PSS MB':>8s} {'per further worker':>19s}")
    for workers in map(int, arguments.workers.split(",")):
        megabytes = measure(arguments.module, workers, arguments.requests)
        further = ""
        if rows:
            further = f"{(megabytes - rows[-1][1]) / (workers - rows[-1][0]):.2f} MB"
        rows.append((workers, megabytes))
        print(f"{workers:8d} {megabytes:8.1f} {further:>19s}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
