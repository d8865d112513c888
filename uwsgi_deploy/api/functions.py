"""The functions of the `uwsgi` module, with uWSGI's names, arguments and results: text that is returned is bytes.

Only what works is here. Nothing is done when the module is made; each function looks when it is called.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from uwsgi_deploy.api import deadlines
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.setup import log as write_line
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.net.queue_length import queue_length
from uwsgi_deploy.process import memory, titles
from uwsgi_deploy.shared.scoreboard import BANKS, Field, Scoreboard


@dataclass(slots=True)
class Surroundings:
    """What the functions look at. master_pid: 0 without a master. wid: this worker's number, 0 before the fork.
    startup_time: seconds that loading the application took; 0 while it loads."""

    settings: Settings
    listeners: tuple[Listener, ...]
    scoreboard: Scoreboard
    master_pid: int
    wid: int = 0
    startup_time: float = 0.0


class Functions:
    """Every public method is a function of the module."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings

    # --- who and how many ---------------------------------------------------------------------------------------------

    def worker_id(self) -> int:
        """The number of this worker, from 1; 0 before it is forked, that is while the application is loaded."""
        return self._around.wid

    def mule_id(self) -> int:
        """0: this is no mule."""
        return 0

    def i_am_the_spooler(self) -> bool:
        """False: this is no spooler."""
        return False

    def masterpid(self) -> int:
        """The master's process id; 0 without a master."""
        return self._around.master_pid

    def total_requests(self) -> int:
        """Requests that all workers have served."""
        return self._around.scoreboard.total(Field.REQUESTS)

    def request_id(self) -> int:
        """Requests that this worker and its predecessors have served."""
        wid = self._around.wid
        return self._around.scoreboard.requests(wid) if wid else 0

    def ready(self) -> bool | None:
        """True when a worker accepts connections, else None."""
        board = self._around.scoreboard
        return any(board.column(Field.READY)) or None

    def workers(self) -> tuple[dict[str, Any], ...]:
        """A dict for each worker; sizes in bytes, times in microseconds, `last_spawn` in unix seconds."""
        return tuple(map(self._worker, range(1, self._around.scoreboard.workers + 1)))

    def _worker(self, wid: int) -> dict[str, Any]:
        board = self._around.scoreboard
        records = [board.record_in(wid, bank) for bank in range(BANKS)]
        # While a worker is replaced there are two processes: the younger one stays.
        bank = max(range(BANKS), key=lambda bank: (records[bank][Field.STARTED], records[bank][Field.READY]))
        record = records[bank]

        def total(field: Field) -> int:
            return sum(int(record[field]) for record in records)

        pid = record[Field.PID]
        used = memory.usage(pid) if pid else None
        busy = any(True for _ in board.running(wid, bank))
        requests, running = total(Field.REQUESTS), total(Field.RUNNING_TIME)
        return {
            "id": wid,
            "pid": pid,
            "requests": requests,
            "delta_requests": record[Field.DELTA_REQUESTS],
            "signals": 0,
            "exceptions": total(Field.EXCEPTIONS),
            "status": b"cheap" if not pid else b"busy" if busy else b"idle",
            "rss": used.resident if used else 0,
            "vsz": used.address_space if used else 0,
            "running_time": running,
            "last_spawn": record[Field.STARTED],
            "respawn_count": max(0, total(Field.SPAWNS) - 1),
            "tx": total(Field.TX_BYTES),
            "avg_rt": running // requests if requests else 0,
            "apps": (
                {
                    "id": 0,
                    "modifier1": 0,
                    "mountpoint": b"",
                    "startup_time": int(self._around.startup_time),
                    "requests": requests,
                    "exceptions": total(Field.EXCEPTIONS),
                },
            ),
        }

    # --- steering -----------------------------------------------------------------------------------------------------

    def reload(self) -> bool | None:
        """Reload the server, as SIGHUP does; True, or None when there is no master to do it."""
        return self._tell_master(signal.SIGHUP)

    def stop(self) -> bool | None:
        """Stop the server when its requests are done, the present one included; True, or None without a master."""
        return self._tell_master(signal.SIGINT)

    def _tell_master(self, number: int) -> bool | None:
        if not self._around.master_pid:
            return None
        try:
            os.kill(self._around.master_pid, number)
        except OSError:
            return None
        return True

    def set_user_harakiri(self, seconds: int, /) -> None:
        """The present request may run for this many more seconds; 0 takes that back.

        The harakiri option's own limit stays. Raises RuntimeError in a thread or greenlet that runs no request.
        """
        if not deadlines.set_user_limit(seconds):
            raise RuntimeError("uwsgi.set_user_harakiri() works in the thread that runs a request only")

    # --- WebSockets and connections that are taken over ---------------------------------------------------------------

    def connection_fd(self) -> int:
        """The descriptor of the client's connection, in a request with an Upgrade field only: OSError in others."""
        fd: int = _websockets().connection_fd()
        return fd

    def websocket_handshake(
        self, key: str | bytes = "", origin: str | bytes = "", protocol: str | bytes = "", /
    ) -> None:
        """Answer a WebSocket's opening request; what is not given is taken from it. Raises OSError."""
        _websockets().handshake(self._around.settings, key, origin, protocol)

    def request_context(self) -> Any:
        """For the functions below, when another thread or greenlet than the request's calls them. Raises OSError."""
        return _websockets().request_context()

    def websocket_recv(self, *, request_context: Any = None) -> bytes:
        """Wait for a message, answering and sending pings. Raises OSError when the conversation is over."""
        message: bytes = _websockets().receive(request_context)
        return message

    def websocket_recv_nb(self, *, request_context: Any = None) -> bytes:
        """As `websocket_recv`, but b"" at once when no whole message has come."""
        message: bytes = _websockets().receive_now(request_context)
        return message

    def websocket_send(self, message: str | bytes, /, *, request_context: Any = None) -> None:
        """Send a text message. Raises OSError when the conversation is over."""
        _websockets().send(message, request_context, binary=False)

    def websocket_send_binary(self, message: str | bytes, /, *, request_context: Any = None) -> None:
        """Send a binary message. Raises OSError when the conversation is over."""
        _websockets().send(message, request_context, binary=True)

    def disconnect(self) -> None:
        """End the present request's WebSocket, or the connection that it took over. Raises OSError in others."""
        _websockets().disconnect()

    # --- this and that ------------------------------------------------------------------------------------------------

    def log(self, text: str | bytes, /) -> bool:
        """Write a line into the server's log."""
        write_line(_text(text))
        return True

    def mem(self) -> tuple[int, int]:
        """Resident memory and address space of this process, in bytes."""
        used = memory.usage()
        return (used.resident, used.address_space) if used else (0, 0)

    def micros(self) -> int:
        """Microseconds since 1970."""
        return time.time_ns() // 1000

    def listen_queue(self, number: int = 0, /) -> int:
        """Clients that wait in the queue of a socket, the first unless `number` says another; 0 where nobody knows."""
        listeners = self._around.listeners
        if not 0 <= number < len(listeners):
            raise ValueError(f"there is no socket {number}")
        return queue_length(listeners[number].socket) or 0

    def setprocname(self, name: str | bytes, /) -> None:
        """Name this process for ps and top."""
        titles.set_exactly(_text(name))


def _websockets() -> ModuleType:
    return import_module("uwsgi_deploy.api.websockets")  # loaded by those who use it


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def public(functions: Functions) -> Iterator[tuple[str, object]]:
    """The functions by name."""
    for name in vars(Functions):
        if not name.startswith("_"):
            yield name, getattr(functions, name)
