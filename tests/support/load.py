"""Clients that ask all the time while something happens to a server, and count what they lose.

A keep-alive client goes on with a new connection after a close that was announced, or that it noticed before it asked
again. A request that was sent and got no whole, right answer is lost.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tests.support.client import RawClient
from tests.support.server import ServerProcess


class Load:
    """`keepalive` and `oneshot` clients that GET `path` with `pause` seconds between requests, while the block runs.

    answers: bodies and how often they came. lost: a sentence for each request that was lost.
    """

    def __init__(
        self,
        server: ServerProcess,
        path: str = "/",
        *,
        keepalive: int = 2,
        oneshot: int = 2,
        pause: float = 0.002,
        timeout: float = 20.0,
    ) -> None:
        self.path, self.pause, self.timeout = path, pause, timeout
        self.address = server.addresses[0] if server.addresses else str(server.unix_sockets[0])
        self.answers: dict[bytes, int] = {}
        self.lost: list[str] = []
        self.longest = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        lives: list[Callable[[], None]] = [self._keep_asking] * keepalive + [self._ask_once_and_again] * oneshot
        self._threads = [threading.Thread(target=life, daemon=True) for life in lives]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout + 5)

    @property
    def requests(self) -> int:
        """Answers so far."""
        with self._lock:
            return sum(self.answers.values())

    def _keep_asking(self) -> None:
        client: RawClient | None = None
        while not self._stop.wait(self.pause):
            if client is not None and _closed(client):
                client.close()
                client = None
            client = self._ask(client)
        if client is not None:
            client.close()

    def _ask_once_and_again(self) -> None:
        while not self._stop.wait(self.pause):
            client = self._ask(None)
            if client is not None:
                client.close()

    def _ask(self, client: RawClient | None) -> RawClient | None:
        """One request; returns the connection if it may be used again."""
        started = time.monotonic()
        try:
            client = client or RawClient(self.address, self.timeout)
            answer = client.get(self.path)
        except (OSError, AssertionError) as error:
            with self._lock:
                self.lost.append(f"{type(error).__name__}: {error} after {time.monotonic() - started:.3f} s")
            return None
        with self._lock:
            self.longest = max(self.longest, time.monotonic() - started)
            self.answers[answer.body] = self.answers.get(answer.body, 0) + 1
            if answer.status != 200:
                self.lost.append(f"status {answer.status}")
        if answer.header("connection") == "close":
            client.close()
            return None
        return client


def _closed(client: RawClient) -> bool:
    """Whether the server has closed this idle connection."""
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        client.socket.settimeout(20.0)
