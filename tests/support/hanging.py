"""Clients of `tests/support/apps/hanging.py`: one whose request hangs, and others that must not notice.

Standard library only: `benchmarks/harakiri_matrix.py` uses it for other servers, too.
"""

from __future__ import annotations

import http.client
import itertools
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

Address = tuple[str, int]

# How often a slow client sends a byte of its body.
DROP = 0.1
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
LAST_CHUNK = b"0\r\n\r\n"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class End:
    """How a hanging request ended for its client. status: 0 when no answer came; whole: whether it came to its end.

    taken: seconds from the request to the end of the connection or of the response. how: `answered`, `cut`, `reset`,
    `closed`, `unmarked` for a response whose end is the connection's, so that nobody can tell whether it is whole, or
    `never` when the client's patience ended first.
    """

    path: str
    status: int
    whole: bool
    taken: float
    how: str
    body: bytes = b""


def hang(address: Address, way: str, *, patience: float = 30.0) -> End:
    """Ask for a view that hangs, and wait for whatever happens."""
    path = f"/hang/{way}/{next(_numbers)}"
    with socket.create_connection(address, patience) as client:
        slow = way == "body"
        lines = [f"{'POST' if slow else 'GET'} {path} HTTP/1.1", "Host: test", "Connection: close"]
        lines += ["Content-Length: 100000"] if slow else []
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        started = time.monotonic()
        over = threading.Event()
        if slow:
            threading.Thread(target=_drip, args=(client, over), daemon=True).start()
        try:
            received, how = _receive(client, started + patience)
        finally:
            over.set()
        taken = time.monotonic() - started
    match = STATUS.match(received)
    if not match:
        return End(path, 0, whole=False, taken=taken, how=how)
    whole = _is_whole(received)
    if how != "never":
        how = ("answered" if _has_end(received) else "unmarked") if whole else "cut"
    return End(path, int(match[1]), whole=whole, taken=taken, how=how, body=received.partition(b"\r\n\r\n")[2])


def _drip(client: socket.socket, over: threading.Event) -> None:
    while not over.wait(DROP):
        try:
            client.sendall(b"x")
        except OSError:
            return


def _receive(client: socket.socket, until: float) -> tuple[bytes, str]:
    """What came until the response was whole or the connection ended, and how that was."""
    received = b""
    while (left := until - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            data = client.recv(65536)
        except TimeoutError:
            break
        except OSError:
            return received, "reset"
        if not data:
            return received, "closed"
        received += data
        if _is_whole(received, ended=False):
            return received, "answered"
    return received, "never"


def _is_whole(received: bytes, *, ended: bool = True) -> bool:
    head, mark, body = received.partition(b"\r\n\r\n")
    if not mark:
        return False
    if not _has_end(received):
        return ended
    if length := re.search(rb"\r\ncontent-length: *(\d+)", head, re.I):
        return len(body) >= int(length[1])
    return body.endswith(LAST_CHUNK)


def _has_end(received: bytes) -> bool:
    """Whether the response has an end of its own, and not only that of its connection."""
    head = received.partition(b"\r\n\r\n")[0]
    return re.search(rb"\r\n(content-length: *\d|transfer-encoding: *chunked)", head, re.I) is not None


@dataclass(slots=True)
class Siblings:
    """Clients whose requests take as many seconds as `each` says, one after the other on new connections.

    They ask while they are entered. The requests of one are so long that one is sure to run when another one hangs.

    answered: how many got their answer; lost: what happened to the others. A connection that was never accepted and is
    refused is lost, too.
    """

    address: Address
    each: tuple[float, ...] = (0.05, 0.5)
    patience: float = 30.0
    answered: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Siblings:
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in self.each]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, each: float) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            problem = self._ask(each)
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - started)
                if problem:
                    self.lost[problem] += 1
                else:
                    self.answered += 1
            time.sleep(0.01)

    def _ask(self, each: float) -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=self.patience)
        try:
            connection.request("GET", f"/quick?{each}")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        return "" if (response.status, body) == (200, b"quick\n") else str(response.status)
