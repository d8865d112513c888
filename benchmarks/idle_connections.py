"""Idle keep-alive connections and slow clients on one worker: what a normal client notices, and what they cost.

    python benchmarks/idle_connections.py [--idle 2000] [--slow 200] [--seconds 5]

Exit code 0 when the normal client's 99th percentile is below 50 ms and an idle connection costs less than 4 KiB.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import ExitStack

from measuring import Server, allow_descriptors, ask, connect, milliseconds

SLOW_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"s" * 1000


def drip(connections: list[object], stop: threading.Event) -> None:
    """A byte a second on each connection."""
    for at in range(len(SLOW_REQUEST)):
        for connection in connections:
            try:
                connection.send(SLOW_REQUEST[at : at + 1])  # type: ignore[attr-defined]
            except OSError:
                continue  # the server has cut it: 15 seconds for a head are over
        if stop.wait(1.0):
            return


def normal_client(address: tuple[str, int], seconds: float) -> tuple[list[float], list[float]]:
    """Latencies on a kept connection, and of whole connections."""
    kept, fresh = [], []
    deadline = time.monotonic() + seconds
    with connect(address) as connection:
        while time.monotonic() < deadline:
            started = time.monotonic()
            ask(connection)
            kept.append(time.monotonic() - started)
            started = time.monotonic()
            with connect(address) as other:
                ask(other, close=True)
            fresh.append(time.monotonic() - started)
    return kept, fresh


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    allow_descriptors(arguments.idle + arguments.slow + 200)
    stop = threading.Event()
    with ExitStack() as stack, Server("--disable-logging", module="hello") as server:
        for _ in range(200):  # what a first request allocates is not the price of a connection
            with connect(server.address) as connection:
                ask(connection, close=True)
        before = server.pss()
        for _ in range(arguments.idle):
            ask(stack.enter_context(connect(server.address)))
        each = (server.pss() - before) / max(arguments.idle, 1)
        slow: list[object] = [stack.enter_context(connect(server.address)) for _ in range(arguments.slow)]
        dripping = threading.Thread(target=drip, args=(slow, stop), daemon=True)
        dripping.start()
        kept, fresh = normal_client(server.address, arguments.seconds)
        stop.set()
        dripping.join(5)
    print(f"{arguments.idle} idle and {arguments.slow} slow connections, one worker, one core")
    print(f"  kept connection       {milliseconds(kept)}  ({len(kept)} requests)")
    print(f"  fresh connection      {milliseconds(fresh)}")
    print(f"  per idle connection   {each:.0f} bytes")
    late = max(sorted(times)[int(len(times) * 0.99)] for times in (kept, fresh))
    return 0 if late < 0.05 and each < 4096 else 1


if __name__ == "__main__":
    sys.exit(main())
