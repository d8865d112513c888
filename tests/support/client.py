"""A raw HTTP/1.1 client that believes nothing: bytes out, responses in, strictly parsed.

For normal use `http.client` is fine; this one is for tests that must see the wire.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from types import TracebackType

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\Z")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*?)[ \t]*\Z")


class BadResponse(AssertionError):
    """The server's bytes are no well-formed response."""


class ConnectionEnded(BadResponse):
    """The connection ended before the response did; `received` is what came."""

    def __init__(self, received: bytes) -> None:
        self.received = received
        super().__init__(f"connection ended after {len(received)} bytes: {received[:200]!r}")


@dataclass(frozen=True, slots=True)
class Response:
    """One response; header names are lower case, `version` is b"HTTP/1.1" or b"HTTP/1.0"."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    version: bytes

    def header(self, name: str) -> str | None:
        """The only value of a header, or None; a repeated header is an error of the test."""
        values = self.all(name)
        if len(values) > 1:
            raise BadResponse(f"{name} is repeated: {values!r}")
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name.lower()]


class RawClient:
    """One connection. `address` is a (host, port) pair or the path of a Unix socket."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = 10.0) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        if not isinstance(address, str) and ":" in address[0]:
            family = socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def get(self, path: str = "/", **headers: str) -> Response:
        """A plain GET; header names are given with underscores."""
        lines = [f"GET {path} HTTP/1.1", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return self.receive()

    def receive(self, method: str = "GET") -> Response:
        """Read one whole final response (1xx are skipped) to a request made with `method`."""
        while True:
            response = self.receive_any(method)
            if response.status >= 200:
                return response

    def receive_any(self, method: str = "GET") -> Response:
        """Read one whole response, 1xx included."""
        head = self.read_until(b"\r\n\r\n")
        status_line, *lines = head[:-4].split(b"\r\n")
        status = STATUS_LINE.match(status_line)
        if status is None:
            raise BadResponse(f"bad status line {status_line!r}")
        headers = tuple(_header(line) for line in lines)
        code = int(status[1])
        body = b"" if method == "HEAD" or code < 200 or code in (204, 304) else self._read_body(headers)
        reason = (status[2] or b"").decode("latin-1")
        return Response(code, reason, headers, body, status_line[:8])

    def ended(self) -> bool:
        """Wait for the server's close; True when it came and nothing was sent before it."""
        if self.buffer:
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def read_to_end(self) -> bytes:
        """Everything that still comes until the connection ends."""
        while self._fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def _read_body(self, headers: tuple[tuple[str, str], ...]) -> bytes:
        lengths = [value for name, value in headers if name == "content-length"]
        codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
        if lengths and codings:
            raise BadResponse("both Content-Length and Transfer-Encoding")
        if codings:
            if codings != ["chunked"]:
                raise BadResponse(f"transfer coding {codings!r}")
            return self._read_chunks()
        if lengths:
            if len(lengths) > 1 or not lengths[0].isdigit():
                raise BadResponse(f"content-length {lengths!r}")
            return self._read_exactly(int(lengths[0]))
        return self.read_to_end()

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            line = self.read_until(b"\r\n")[:-2]
            if not re.fullmatch(rb"[0-9A-Fa-f]+", line):
                raise BadResponse(f"bad chunk size {line!r}")
            size = int(line, 16)
            if size == 0:
                if self.read_until(b"\r\n") != b"\r\n":
                    raise BadResponse("unexpected trailer")
                return body
            body += self._read_exactly(size)
            if self._read_exactly(2) != b"\r\n":
                raise BadResponse("chunk does not end with CRLF")

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self._fill():
                raise ConnectionEnded(self.buffer)
        data, separator, self.buffer = self.buffer.partition(mark)
        return data + separator

    def _read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self._fill():
                raise ConnectionEnded(self.buffer)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _fill(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)


def _header(line: bytes) -> tuple[str, str]:
    match = HEADER_LINE.match(line)
    if match is None:
        raise BadResponse(f"bad header line {line!r}")
    return match[1].decode("latin-1").lower(), match[2].decode("latin-1")
