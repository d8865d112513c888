"""Memory of all processes (PSS: shared pages count once) by number of workers, idle, after a few requests, after load.

    python benchmarks/memory.py                            the smallest Django project, 4 and 8 workers
    python benchmarks/memory.py --peers ~/venv/bin         and gunicorn --preload and uWSGI from there
    python benchmarks/memory.py --versus "server --bind 127.0.0.1:{port} -w {workers} {application}"
    python benchmarks/memory.py --module blog:application  Django with admin, sessions and auth

    idle     all workers are there, none has served
    few      ten requests for each worker, one after the other; servers that wake one worker first leave the others idle
    load     clients that connect anew for every request, sixteen at a time, for some seconds: all workers have served

`own` is what the worker with the most holds alone (Private_Dirty), `further` what each worker adds to the whole. Run
it with a Python in which the package is installed, not editable: what pip adds to every interpreter start for an
editable installation is 2 MB. Compare rows of one run only: other processes share the same libraries.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import APPS, ask, connect, end, pss, session_pids, wait_for

MEGABYTE = 1 << 20
OURS = (
    f"{sys.executable} -m uwsgi_deploy --http-socket 127.0.0.1:{{port}} --module {{application}} "
    "--processes {workers} --disable-logging"
)
PEERS = (
    "{folder}/gunicorn --preload --bind 127.0.0.1:{{port}} --workers {{workers}} {{application}}",
    "{folder}/uwsgi --master --http-socket 127.0.0.1:{{port}} --listen 100 --module {{application}} "
    "--processes {{workers}} --disable-logging",
)
CLIENTS = 16
# Processes are complete when their number has not changed for this long.
SETTLED = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one moment, in megabytes: of all processes, and what the richest worker holds alone."""

    everything: float
    own: float


def few(address: tuple[str, int], workers: int) -> None:
    for _ in range(10 * workers):
        with connect(address) as connection:
            ask(connection, close=True)


def load(address: tuple[str, int], seconds: float) -> None:
    until = time.monotonic() + seconds

    def client() -> None:
        while time.monotonic() < until:
            with connect(address) as connection:
                ask(connection, close=True)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def sample(leader: int, workers: int) -> Sample:
    """The workers are the youngest processes of the server."""
    pids = sorted(session_pids(leader), key=lambda pid: (born(pid), pid))
    return Sample(pss(pids) / MEGABYTE, max(map(private, pids[-workers:])) / MEGABYTE)


def born(pid: int) -> int:
    """Clock ticks from the machine's start to the process's."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def private(pid: int) -> int:
    """Bytes that only this process holds and has written to."""
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Private_Dirty:")[1].split()[0]) * 1024


def settle(server: subprocess.Popen[bytes], workers: int, address: tuple[str, int]) -> None:
    """Wait until the server listens and has all its processes; asks nothing, so that workers stay idle."""
    wait_for(lambda: listens(address) or server.poll() is not None, 60, "the server to listen")
    since, before = time.monotonic(), 0

    def complete() -> bool:
        nonlocal since, before
        number = len(session_pids(server.pid))
        if number != before:
            since, before = time.monotonic(), number
        return server.poll() is not None or (number > workers and time.monotonic() - since > SETTLED)

    wait_for(complete, 60, f"{workers} workers")


def listens(address: tuple[str, int]) -> bool:
    """Looked up, and not tried: a connection would be a worker's first."""
    wanted = f":{address[1]:04X} 00000000:0000 0A "
    return wanted in Path("/proc/net/tcp").read_text()


def measure(command: str, module: str, workers: int, seconds: float) -> dict[str, Sample]:
    """Samples of one server by condition."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = ("127.0.0.1", int(probe.getsockname()[1]))
    words = shlex.split(command.format(port=address[1], application=module, workers=workers))
    environment = {**os.environ, "PYTHONPATH": str(APPS)}
    conditions: Sequence[tuple[str, Callable[[], None]]] = (
        ("idle", lambda: None),
        ("few", lambda: few(address, workers)),
        ("load", lambda: load(address, seconds)),
    )
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(words, cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            settle(server, workers, address)
            if server.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{' '.join(words)} ended:\n{log.read().decode(errors='replace')}")
            samples = {}
            for condition, reach in conditions:
                reach()
                samples[condition] = sample(server.pid, workers)
            return samples
        finally:
            end(server)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", default="small:application")
    parser.add_argument("--workers", default="4,8")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long the load lasts")
    parser.add_argument("--option", default="", help="further options of this server, as one text")
    parser.add_argument("--peers", help="folder with gunicorn and uwsgi")
    parser.add_argument("--versus", action="append", default=[], help="another server's command")
    arguments = parser.parse_args()
    commands = [f"{OURS} {arguments.option}", *arguments.versus]
    if arguments.peers:
        commands += [peer.format(folder=os.path.abspath(arguments.peers)) for peer in PEERS]
    columns = "".join(f" | {condition:>8s} {'own':>6s} {'further':>7s}" for condition in ("idle", "few", "load"))
    print(f"{arguments.module}, MB\nworkers{columns}   server")
    for command in commands:
        name = "uwsgi-deploy" if command.startswith(OURS) else " ".join(command.split()[:2]).rpartition("/")[2]
        before: tuple[int, dict[str, Sample]] | None = None
        for workers in map(int, arguments.workers.split(",")):
            samples = measure(command, arguments.module, workers, arguments.seconds)
            cells = []
            for condition, now in samples.items():
                further = ""
                if before:
                    grown = now.everything - before[1][condition].everything
                    further = f"{grown / (workers - before[0]):.2f}"
                cells.append(f" | {now.everything:8.1f} {now.own:6.2f} {further:>7s}")
            before = workers, samples
            print(f"{workers:7d}{''.join(cells)}   {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
