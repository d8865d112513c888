"""What becomes of a request that hangs, and of those beside it: every way to hang, in every engine, on three servers.

    python benchmarks/harakiri_matrix.py [--servers ours,gunicorn,uwsgi] [--ways sleep,regex] [--peers ~/venv/bin]

Each cell is a server of its own with the application tests/support/apps/hanging.py and a limit of two seconds
(`--harakiri 2`, `--timeout 2`). One request hangs; two clients ask on, each with a new connection for a request of 0.05
or of 0.5 seconds. The cell says what the hanging request's client got and when, how many of the others' requests were
answered (and how long the slowest took, if more than a second), and what the log names: the request's path, the
function in which it hung, or nothing. Patience ends after ten seconds: `never`. `as if whole` is a broken answer that
no client can tell from a whole one.

The database is a private PostgreSQL, made for the run and removed; without one that row is left out. gunicorn's and
uWSGI's Python needs psycopg for it. Exit code 0 when this server answered, cut or reported every cell in time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from measuring import REPOSITORY, end, wait_for

sys.path.insert(0, str(REPOSITORY))

from tests.support import postgres
from tests.support.hanging import End, Siblings, hang

APPS = REPOSITORY / "tests" / "support" / "apps"
LIMIT = 2.0
GRACE = 1.0
PATIENCE = 10.0
# What this server promises after limit and grace; and what a busy machine adds.
PROMISE = 1.0
TOLERANCE = 1.5

FUNCTIONS = {
    "sleep": "sleep",
    "loop": "loop",
    "regex": "regex",
    "lock": "lock",
    "socket": "read_socket",
    "database": "database",
    "subprocess": "run_program",
    "stream": "stream",
    "body": "read_body",
}
TITLES = {
    "sleep": "`time.sleep`",
    "loop": "busy loop",
    "regex": "regular expression without an end",
    "lock": "`lock.acquire`",
    "socket": "`socket.recv`",
    "database": "query on PostgreSQL",
    "subprocess": "`subprocess.run`",
    "stream": "stream without an end",
    "body": "body that comes drop by drop",
}
OURS = (
    *(sys.executable, "-m", "uwsgi_deploy", "--http-socket", "{address}", "--module", "hanging", "--disable-logging"),
    *("--post-buffering", "0", "--harakiri", "{limit}", "--harakiri-graceful-timeout", "{grace}"),
)
UWSGI = (
    *("{peers}/uwsgi", "--master", "--http-socket", "{address}", "--module", "hanging", "--pythonpath", str(APPS)),
    *("--disable-logging", "--need-app", "--harakiri", "{limit:.0f}", "--harakiri-verbose", "--enable-threads"),
)
GUNICORN = ("{peers}/gunicorn", "-b", "{address}", "--timeout", "{limit:.0f}", "hanging:application")
COMMANDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "ours": {
        "prefork": (*OURS, "-p", "3"),
        "4 threads": (*OURS, "-p", "1", "--threads", "4"),
        "gevent": (*OURS, "-p", "1", "--gevent", "50"),
    },
    "gunicorn": {
        "prefork": (*GUNICORN, "-w", "3"),
        "4 threads": (*GUNICORN, "-w", "1", "-k", "gthread", "--threads", "4"),
        "gevent": (*GUNICORN, "-w", "1", "-k", "gevent"),
    },
    "uwsgi": {
        "prefork": (*UWSGI, "-p", "3"),
        "4 threads": (*UWSGI, "-p", "1", "--threads", "4"),
        "gevent": (*UWSGI, "-p", "1", "--gevent", "50", "--gevent-monkey-patch"),
    },
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What was seen; named: what the log names of the place where it hung."""

    end: End
    answered: int
    lost: int
    longest: float
    named: str

    def __str__(self) -> str:
        served = f"{self.answered}/{self.answered + self.lost}"
        slowest = f" (slowest {self.longest:.1f} s)" if self.longest > 1 else ""
        return f"{_outcome(self.end)}, siblings {f'**{served}**' if self.lost else served}{slowest}, {self.named}"


def _outcome(seen: End) -> str:
    if seen.how == "never":
        return seen.how
    if seen.how == "unmarked":
        return f"{seen.status} as if whole after {seen.taken:.1f} s"
    if seen.how == "answered":
        return f"{seen.status} after {seen.taken:.1f} s"
    return f"{seen.how} after {seen.taken:.1f} s"


@contextlib.contextmanager
def serving(command: Sequence[str], peers: str, url: str) -> Iterator[tuple[tuple[str, int], Path]]:
    """A server on a port of its own, and its log."""
    with socket.socket() as probe, tempfile.TemporaryDirectory(prefix="matrix-") as directory:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        address: tuple[str, int] = probe.getsockname()
        words = [
            word.format(peers=peers, address="{}:{}".format(*address), limit=LIMIT, grace=GRACE) for word in command
        ]
        probe.close()
        path = Path(directory) / "log"
        environment = {
            **os.environ,
            "PYTHONPATH": f"{APPS}:{REPOSITORY}" if words[0] == sys.executable else str(APPS),
            "DATABASE_URL": url,
        }
        with path.open("wb") as log:
            server = subprocess.Popen(
                words, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for(lambda: _answers(address), 60, f"{words[0]} to answer\n{path.read_text()}")
            yield address, path
        finally:
            end(server)


def _answers(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, 5) as client:
        client.sendall(b"GET /quick HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False


def cell(command: Sequence[str], way: str, peers: str, url: str) -> Cell:
    """One request hangs, others are served."""
    with serving(command, peers, url) as (address, log), Siblings(address, patience=PATIENCE) as siblings:
        time.sleep(0.3)
        seen = hang(address, way, patience=PATIENCE)
        time.sleep(0.5)
        text = log.read_text("utf-8", "replace")
    if seen.how == "never":
        named = "nothing"  # what it says later is about a client that has left
    elif re.search(rf"hanging\.py\"?, line \d+,? in {FUNCTIONS[way]}\b|{FUNCTIONS[way]}.*hanging\.py", text):
        named = "path and function" if seen.path in text else "function"
    else:
        named = "path" if seen.path in text else "nothing"
    return Cell(seen, siblings.answered, sum(siblings.lost.values()), siblings.longest, named)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--servers", default="ours,gunicorn,uwsgi")
    parser.add_argument("--engines", default="prefork,4 threads,gevent")
    parser.add_argument("--ways", default=",".join(TITLES))
    parser.add_argument("--peers", default=str(Path.home() / ".cache" / "wsgi-peers" / "bin"))
    parser.add_argument("--at-once", type=int, default=3, help="cells that run at the same time")
    options = parser.parse_args()
    ways = options.ways.split(",")
    problem = postgres.missing()
    if problem:
        print(f"no database: {problem}", file=sys.stderr)
        ways = [way for way in ways if way != "database"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgres.cluster()).database if "database" in ways else None
        database = stack.enter_context(url()).url if url is not None else ""
        return report(options, ways, database)


def report(options: argparse.Namespace, ways: Sequence[str], url: str) -> int:
    """Print a table for each engine."""
    kept = True
    for engine in options.engines.split(","):
        servers = options.servers.split(",")
        print(f"\n### {engine}\n\n| the request hangs in | {' | '.join(servers)} |\n|---{'|---' * len(servers)}|")
        with ThreadPoolExecutor(options.at_once) as pool:
            rows = {
                way: [pool.submit(cell, COMMANDS[server][engine], way, options.peers, url) for server in servers]
                for way in ways
            }
            for way, row in rows.items():
                print(f"| {TITLES[way]} | {' | '.join(str(future.result()) for future in row)} |", flush=True)
                if "ours" in servers:
                    kept = kept and is_kept(row[servers.index("ours")].result(), way)
    return 0 if kept else 1


def is_kept(seen: Cell, way: str) -> bool:
    """Whether the promise to the client of the hanging request, and the one about the log, was kept."""
    in_time = LIMIT <= seen.end.taken < LIMIT + GRACE + PROMISE + TOLERANCE
    right = seen.end.how == "cut" if way == "stream" else seen.end.status == 504
    return in_time and right and "function" in seen.named


if __name__ == "__main__":
    sys.exit(main())
