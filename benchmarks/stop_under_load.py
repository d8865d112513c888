"""SIGTERM under load: every request that was accepted is answered, the exit code is 0, and the sockets are gone.

    python benchmarks/stop_under_load.py [--clients 32] [--processes 2] [--threads 1] [--rounds 5]

A connection that is refused after the signal is the expected end; one that was accepted and got no whole answer is a
lost request. Half of the clients keep their connection: a request on a used connection that ends without a byte of an
answer may be repeated by HTTP's rules (RFC 9110 section 9.2.2) and is counted apart.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Gone, Server, ask, connect

PAUSE = "0.01"


@dataclass(slots=True)
class Seen:
    """Counts of all clients; appending is atomic."""

    answered: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)


def fresh_client(address: tuple[str, int], seen: Seen, stop: threading.Event) -> None:
    """A connection per request, until connections are refused."""
    while not stop.is_set():
        try:
            connection = connect(address)
        except ConnectionError:
            return
        with connection:
            try:
                ask(connection, PAUSE, close=True)
                seen.answered.append(time.monotonic())
            except (Gone, OSError) as error:
                seen.lost.append(f"fresh connection: {error}")


def kept_client(address: tuple[str, int], seen: Seen, stop: threading.Event) -> None:
    """Requests on one connection for as long as it lasts, then on the next."""
    while not stop.is_set():
        try:
            connection = connect(address)
        except ConnectionError:
            return
        used = 0
        with connection:
            while not stop.is_set():
                try:
                    answer = ask(connection, PAUSE)
                except (Gone, OSError) as error:
                    if used and not getattr(error, "received", b""):
                        seen.repeated.append(time.monotonic())
                    else:
                        seen.lost.append(f"kept connection: {error}")
                    break
                used += 1
                seen.answered.append(time.monotonic())
                if answer.closing:
                    break


def one_round(arguments: argparse.Namespace) -> bool:
    seen, stop = Seen(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        unix_socket, pidfile = Path(folder) / "http.sock", Path(folder) / "server.pid"
        options = ["--disable-logging", "--processes", str(arguments.processes), "--threads", str(arguments.threads)]
        options += ["--http-socket", str(unix_socket), "--pidfile", str(pidfile)]
        with Server(*options, module="hello:pid_after_pause") as server:
            kinds = (fresh_client, kept_client)
            clients = [
                threading.Thread(target=kinds[number % 2], args=(server.address, seen, stop))
                for number in range(arguments.clients)
            ]
            for thread in clients:
                thread.start()
            time.sleep(1)
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(30)
            took = time.monotonic() - signalled
            stop.set()
            for thread in clients:
                thread.join(10)
            after = sum(moment > signalled for moment in seen.answered)
            left = server.pids()
        gone = not unix_socket.exists() and not pidfile.exists() and not left
    print(
        f"exit {code} after {took * 1000:.0f} ms; {len(seen.answered)} answered ({after} after the signal), "
        f"{len(seen.lost)} lost, {len(seen.repeated)} to repeat; {'nothing' if gone else 'something'} left behind"
    )
    for loss in seen.lost[:3]:
        print(f"  lost: {loss}")
    return code == 0 and gone and not seen.lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    results = [one_round(arguments) for _ in range(arguments.rounds)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
