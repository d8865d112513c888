"""Thousands of requests that wait and thousands of idle connections on one gevent worker: memory and processor time.

    python benchmarks/gevent_connections.py [--connections 10000] [--peers ~/.cache/wsgi-peers/bin]

All clients connect, get an answer, and are idle. Then all ask for something that waits; when the last one waits,
they are let go, and answered. `--peers` names a directory with a Python that has gevent, and gunicorn: the same is
measured of gevent's own server and of gunicorn's gevent worker from there.

    idle      memory per connection, in bytes, when it has had its first answer and is kept
    waiting   memory per connection while a request of it waits
    CPU       microseconds for each request that waits, from its first byte to its answer

Exit code 0 when every request was answered by this server and an idle connection costs it less than 4 KiB.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measuring import APPS, Gone, Server, allow_descriptors, ask, connect, cpu_seconds, end, pss, session_pids, wait_for

WAIT = b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: measuring\r\nAccept: */*\r\n\r\n"
PYWSGI = """
from gevent import monkey; monkey.patch_all()
from gevent.pywsgi import WSGIServer
from waiting_room import application
WSGIServer(("127.0.0.1", {port}), application, backlog=1024, log=None).serve_forever()
"""
GUNICORN = (
    "{folder}/gunicorn", "-k", "gevent", "-w", "1", "--worker-connections", "{connections}", "--backlog", "1024",
    "--keep-alive", "75", "--timeout", "300", "-b", "127.0.0.1:{port}", "waiting_room:application",
)  # fmt: skip
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one server did: answers, bytes per connection, seconds of processor time."""

    answered: int
    idle: float
    waiting: float
    cpu: float


def measure(address: tuple[str, int], leader: int, connections: int) -> Row:
    """Let `connections` clients wait, then let them go."""
    for path in ("/count", "/count"):  # what a first request allocates is not the price of a connection
        with connect(address) as one:
            get(one, path)
    pids = session_pids(leader)
    before = pss(pids)
    clients: dict[int, socket.socket] = {}
    try:
        for _ in range(connections):
            one = connect(address)
            clients[one.fileno()] = one
            get(one, "/count")
        idle = (pss(pids) - before) / connections
        used = cpu_seconds(pids)
        for one in clients.values():
            one.sendall(WAIT)
        wait_for(lambda: waiting_at(address) >= connections, PATIENCE, "all requests to wait")
        waiting = (pss(pids) - before) / connections
        with connect(address) as one:
            get(one, "/go")
        answered = collect(clients)
        cpu = cpu_seconds(pids) - used
    finally:
        for one in clients.values():
            one.close()
    return Row(answered, idle, waiting, cpu)


def get(connection: socket.socket, path: str) -> bytes:
    connection.sendall(WAIT.replace(b"/wait", path.encode()))
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data or data.endswith(b"\r\n\r\n"):
        more = connection.recv(65536)
        if not more:
            raise SystemExit(f"the connection ended: {data!r}")
        data += more
    return data.rpartition(b"\r\n\r\n")[2]


def waiting_at(address: tuple[str, int]) -> int:
    time.sleep(0.1)
    with connect(address) as connection:
        return int(get(connection, "/count"))


def collect(clients: dict[int, socket.socket]) -> int:
    """Wait for an answer on every connection; how many came whole."""
    poll = select.epoll()
    for fd in clients:
        poll.register(fd, select.EPOLLIN)
    left, answered, deadline = set(clients), 0, time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        for fd, _ in poll.poll(1.0):
            data = clients[fd].recv(65536)
            answered += data.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" in data
            poll.unregister(fd)
            left.discard(fd)
    poll.close()
    return answered


def ours(connections: int) -> Row:
    with Server("--disable-logging", "--gevent", str(connections + 10), module="waiting_room") as server:
        return measure(server.address, server.process.pid, connections)


def peer(command: list[str], port: int, connections: int) -> Row:
    with tempfile.TemporaryFile() as log:
        environment = {**os.environ, "PYTHONPATH": str(APPS)}
        process = subprocess.Popen(command, cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(lambda: answers(port) or process.poll() is not None, 30, command[0])
            return measure(("127.0.0.1", port), process.pid, connections)
        finally:
            end(process)


def answers(port: int) -> bool:
    try:
        with connect(("127.0.0.1", port), timeout=2) as connection:
            ask(connection)
    except (OSError, Gone):
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--peers", type=Path, help="directory with python and gunicorn")
    arguments = parser.parse_args()
    connections = arguments.connections
    allow_descriptors(connections + 500)
    rows = {"uwsgi-deploy": ours(connections)}
    if arguments.peers:
        port = free_port()
        python = str(arguments.peers / "python")
        rows["gevent.pywsgi"] = peer([python, "-c", PYWSGI.format(port=port)], port, connections)
        port = free_port()
        words = {"folder": arguments.peers, "port": port, "connections": connections + 100}
        rows["gunicorn gevent"] = peer([word.format(**words) for word in GUNICORN], port, connections)
    print(f"{connections} connections, one worker")
    print(f"{'':18}{'answered':>10}{'idle':>10}{'waiting':>10}{'CPU us':>10}")
    for name, row in rows.items():
        each = row.cpu / connections * 1e6
        print(f"{name:18}{row.answered:>10}{row.idle:>10.0f}{row.waiting:>10.0f}{each:>10.1f}")
    own = rows["uwsgi-deploy"]
    return 0 if own.answered == connections and own.idle < 4096 else 1


if __name__ == "__main__":
    sys.exit(main())
