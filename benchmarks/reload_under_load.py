"""Reloads under load: what clients lose, and how long they wait, while an application takes two seconds to import.

    python benchmarks/reload_under_load.py [--times 20] [--kind hup|chain|workers] [--lazy-apps]
    python benchmarks/reload_under_load.py --server ours --server uwsgi --server gunicorn --peers ~/venv/bin

Half of the clients keep their connection, half connect anew for each request. A request that was sent and got no
whole, right answer is lost; a kept connection that the server closed before the next request was sent is not. The
longest stall is the longest time from a client's wish (to connect, or to ask) to its whole answer, over all clients,
the machine's and this program's own pauses included. --idle-import: importing waits instead of using the processor.
Exit code 0 when this server lost nothing.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import APPS, REPOSITORY, Gone, ask, connect, end, wait_for

LOSSES = ("refused", "reset", "wrong", "timeout")
ANSWER = b"two seconds later\n"
FIFO_BYTES = {"chain": "c", "workers": "w"}
COMMANDS = {
    "ours": (
        *(sys.executable, "-m", "uwsgi_deploy", "--http-socket", "{address}", "--module", "two_seconds"),
        *("-p", "{processes}", "--disable-logging", "--master-fifo", "{fifo}"),
    ),
    "uwsgi": (
        *("{peers}/uwsgi", "--master", "--http11-socket", "{address}", "--module", "two_seconds", "--pythonpath", "."),
        *("-p", "{processes}", "--disable-logging", "--master-fifo", "{fifo}"),
    ),
    "gunicorn": ("{peers}/gunicorn", "-b", "{address}", "-w", "{processes}", "two_seconds:application"),
}


@dataclass(slots=True)
class Seen:
    """What the clients saw."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    stall: float = 0.0

    def note(self, what: str, took: float, detail: object = "") -> None:
        with self.lock:
            self.counts[what] += 1
            self.stall = max(self.stall, took)
            if detail:
                self.first.setdefault(what, repr(detail))


def client(address: tuple[str, int], seen: Seen, stop: threading.Event, *, keep: bool, pause: float) -> None:
    connection = None
    while not stop.is_set():
        began = time.monotonic()
        try:
            if connection is not None and select.select([connection], [], [], 0)[0]:
                connection.close()  # closed between two requests, and seen before the next one was sent
                connection = None
            if connection is None:
                connection = connect(address)
            answer = ask(connection, close=not keep)
            right = answer.body == ANSWER
            seen.note("answered" if right else "wrong", time.monotonic() - began, "" if right else answer.body[:80])
            if answer.closing or not keep:
                connection.close()
                connection = None
        except (ConnectionRefusedError, FileNotFoundError) as error:
            seen.note("refused", time.monotonic() - began, error)
            connection = None
        except TimeoutError as error:
            seen.note("timeout", time.monotonic() - began, error)
            connection = None
        except (Gone, OSError) as error:
            seen.note("reset", time.monotonic() - began, error)
            connection = None
        time.sleep(pause)
    if connection is not None:
        connection.close()


def reload_once(server: subprocess.Popen[bytes], kind: str, fifo: Path) -> None:
    if kind == "hup":
        server.send_signal(signal.SIGHUP)
    else:
        fifo.write_text(FIFO_BYTES[kind])


def measure(name: str, arguments: argparse.Namespace) -> bool:
    """One server's row; whether nothing was lost."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        fifo = Path(folder) / "fifo"
        port = free_port()
        values = {
            "address": f"127.0.0.1:{port}",
            "processes": arguments.processes,
            "fifo": fifo,
            "peers": arguments.peers,
        }
        command = [part.format(**values) for part in COMMANDS[name]]
        if arguments.lazy_apps and name != "gunicorn":  # which has no other way
            command.append("--lazy-apps")
        environment: dict[str, Any] = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(APPS), str(REPOSITORY))),
            "IMPORT_SECONDS": str(arguments.import_seconds),
            "IMPORT_BUSY": "0" if arguments.idle_import else "1",
        }
        server = subprocess.Popen(command, cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True)
        seen, stop = Seen(), threading.Event()
        clients = [
            threading.Thread(
                target=client,
                args=(("127.0.0.1", port), seen, stop),
                kwargs={"keep": number % 2 == 0, "pause": arguments.pause},
            )
            for number in range(arguments.clients)
        ]
        try:
            wait_for(lambda: answers(port) or server.poll() is not None, 60, f"an answer of {command[0]}")
            if server.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{name} ended:\n{log.read().decode(errors='replace')}")
            for thread in clients:
                thread.start()
            time.sleep(1)
            for _ in range(arguments.times):
                reload_once(server, arguments.kind, fifo)
                time.sleep(arguments.every)
            time.sleep(2)
            alive = server.poll() is None
        finally:
            stop.set()
            for thread in clients:
                if thread.ident is not None:
                    thread.join(35)
            end(server)
        log.seek(0)
        complete = log.read().count(b"*** reload complete")
    counts = seen.counts
    lost = sum(counts.values()) - counts["answered"]
    figures = [sum(counts.values()), lost, *(counts[kind] for kind in LOSSES)]
    note = f"  ({complete} complete)" if name == "ours" else ""
    print(row(name, [*map(str, figures), f"{seen.stall * 1000:.0f} ms"]) + note, flush=True)
    for what, example in seen.first.items():
        print(f"    first {what}: {example}")
    return lost == 0 and alive and counts["answered"] > 0 and (name != "ours" or complete > 0)


def row(name: str, cells: Sequence[str]) -> str:
    return f"{name:10s}" + "".join(f"{cell:>10s}" for cell in cells[:-1]) + f"{cells[-1]:>15s}"


def free_port() -> int:
    """A port that nobody listens on at the moment: other servers cannot tell which one the kernel gave them."""

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        with connect(("127.0.0.1", port)) as connection:
            return ask(connection, close=True).body == ANSWER
    except (Gone, OSError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", choices=COMMANDS, default=[])
    parser.add_argument("--peers", default="", help="folder with the programs of other servers")
    parser.add_argument("--kind", choices=("hup", *FIFO_BYTES), default="hup")
    parser.add_argument("--lazy-apps", action="store_true", help="each worker imports")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--every", type=float, default=4.0, help="seconds from one reload to the next")
    parser.add_argument("--import-seconds", type=float, default=2.0)
    parser.add_argument("--idle-import", action="store_true")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between a client's requests")
    arguments = parser.parse_args()
    arguments.peers = os.path.expanduser(arguments.peers)
    servers = arguments.server or ["ours"]
    if not arguments.peers and set(servers) - {"ours"}:
        parser.error("--peers names the folder of the other servers' programs")
    print(row("server", ["requests", "lost", *LOSSES, "longest stall"]))
    good = {name: measure(name, arguments) for name in servers}
    return 0 if good.get("ours", True) else 1


if __name__ == "__main__":
    sys.exit(main())
