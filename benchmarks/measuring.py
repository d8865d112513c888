"""What the programs in this folder share: a server to measure, its processes' memory, and simple clients.

Standard library only, loopback only. Every wait is bounded.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

APPS = Path(__file__).resolve().parent / "apps"
REPOSITORY = APPS.parents[1]
READY = re.compile(r"^\*\*\* uwsgi-deploy is ready", re.M)
TCP_ADDRESS = re.compile(r"bound to TCP address (\S*):(\d+)")
REQUEST = b"GET /?%b HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: measuring\r\nAccept: */*\r\n%b\r\n"


class Server:
    """`uwsgi-deploy OPTIONS` in a session of its own, on a port that the kernel chooses."""

    def __init__(self, *options: str, module: str, **variables: str) -> None:
        self._log = tempfile.NamedTemporaryFile("w+", prefix="measured-", suffix=".log")  # noqa: SIM115  closed by __exit__
        sockets = ("--http-socket", "127.0.0.1:0")
        command = [sys.executable, "-m", "uwsgi_deploy", *sockets, "--module", module, *options]
        environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join((str(APPS), str(REPOSITORY)))}
        self.process = subprocess.Popen(
            command, cwd=APPS, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def __enter__(self) -> Server:
        wait_for(lambda: READY.search(self.log) or self.process.poll() is not None, 30, "the server to start")
        if self.process.poll() is not None:
            raise SystemExit(f"the server ended with {self.process.returncode}:\n{self.log}")
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                continue
        self._log.close()

    @property
    def log_path(self) -> str:
        return self._log.name

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    @property
    def address(self) -> tuple[str, int]:
        found = TCP_ADDRESS.search(self.log)
        assert found, self.log
        return found[1], int(found[2])

    def pids(self) -> list[int]:
        """The server's living processes."""
        return session_pids(self.process.pid)

    def pss(self) -> int:
        """Memory of all processes in bytes."""
        return pss(self.pids())


def session_pids(leader: int) -> list[int]:
    """Living processes of a session, whoever adopted them."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry))
    return found


def pss(pids: Sequence[int]) -> int:
    """Proportional set size in bytes: pages that processes share count once in total."""
    texts = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return sum(int(text.split("\nPss:")[1].split()[0]) * 1024 for text in texts)


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time that the processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Gone(Exception):
    """The connection ended before the response was complete; `received` is what came."""

    def __init__(self, received: bytes) -> None:
        self.received = received
        super().__init__(f"gone after {len(received)} bytes")


def connect(address: tuple[str, int], *, timeout: float = 30.0) -> socket.socket:
    connection = socket.create_connection(address, timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Answer(NamedTuple):
    """A response: its body, and whether the server will close the connection."""

    body: bytes
    closing: bool


def ask(connection: socket.socket, query: str = "", *, close: bool = False) -> Answer:
    """One request with a sized answer."""
    connection.sendall(REQUEST % (query.encode(), b"Connection: close\r\n" if close else b""))
    return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    """A response with a Content-Length. Raises Gone, or TimeoutError."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])  # type: ignore[index]
            if len(body) >= length:
                return Answer(body, b"\r\nconnection: close" in head.lower())
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise Gone(received)
        received += data


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)


def allow_descriptors(count: int) -> None:
    """Raise the soft limit of open files, for this process and the servers it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"the hard limit of open files is {hard}, {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def milliseconds(times: Sequence[float]) -> str:
    """Median, 99th percentile and maximum of durations in seconds."""
    ordered = sorted(times)
    middle, late, last = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1]
    return f"median {middle * 1000:.2f} ms, 99% {late * 1000:.2f} ms, most {last * 1000:.2f} ms"


def end(server: subprocess.Popen[bytes]) -> None:
    """End all processes of a server that has a session of its own: politely, then not."""
    for number in (signal.SIGINT, signal.SIGKILL):
        for pid in session_pids(server.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            continue
