"""A server with bad habits, for tests of whoever forwards requests to it.

It speaks uwsgi, or HTTP, takes one request per connection, and does what the script of that path says: a function that
is given the connection and the request. What it has seen is in `requests`; `gone` counts connections that the other
side closed while a script waited for that.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from uwsgi_deploy.protocol.uwsgi import decode_variables

TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its variables, the head as it came, what of the body came with it."""

    variables: dict[str, str]
    head: bytes
    body: bytes

    @property
    def path(self) -> str:
        """PATH_INFO."""
        return self.variables["PATH_INFO"]


Script = Callable[["ScriptedServer", socket.socket, Asked], None]


class ScriptedServer:
    """See the module. path: of a Unix socket; without it a TCP port of the kernel's choice."""

    def __init__(self, scripts: Mapping[str, Script], *, path: str = "", http: bool = False) -> None:
        self._scripts, self._http = scripts, http
        self.requests: list[Asked] = []
        self.gone = 0
        self.release = threading.Event()
        if path:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(path)
            self.address = path
        else:
            self._listening = socket.create_server(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._listening.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def seen(self, path: str) -> list[Asked]:
        """The requests for a path."""
        return [asked for asked in self.requests if asked.path == path]

    def await_end(self, peer: socket.socket) -> None:
        """Wait until the other side has closed."""
        try:
            while peer.recv(65536):
                pass
        except ConnectionError:
            pass
        self.gone += 1

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        peer.settimeout(TIMEOUT)
        with peer:
            try:
                asked = self._read_http(peer) if self._http else self._read_packet(peer)
                self.requests.append(asked)
                self._scripts[asked.path](self, peer, asked)
            except OSError:
                return  # the other side left, or a script shut the connection down

    def _read_packet(self, peer: socket.socket) -> Asked:
        data = peer.recv(65536)
        size = 4 + int.from_bytes(data[1:3], "little")
        while len(data) < size:
            data += peer.recv(65536)
        return Asked(decode_variables(data[4:size]), data[:size], data[size:])

    def _read_http(self, peer: socket.socket) -> Asked:
        data = b""
        while b"\r\n\r\n" not in data:
            data += peer.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        variables = {"REQUEST_METHOD": method, "PATH_INFO": target.partition("?")[0]}
        for field in fields:
            name, _, value = field.partition(": ")
            variables["HTTP_" + name.upper().replace("-", "_")] = value
        variables["CONTENT_LENGTH"] = variables.get("HTTP_CONTENT_LENGTH", "0")
        return Asked(variables, head, body)


def answers(*pieces: bytes) -> Script:
    """Sends these pieces, one by one, and closes."""

    def script(_server: ScriptedServer, peer: socket.socket, _asked: Asked) -> None:
        for piece in pieces:
            peer.sendall(piece)

    return script


def answers_and_waits(*pieces: bytes) -> Script:
    """Sends these pieces and then nothing, until the other side has closed."""

    def script(server: ScriptedServer, peer: socket.socket, _asked: Asked) -> None:
        for piece in pieces:
            peer.sendall(piece)
        server.await_end(peer)

    return script
