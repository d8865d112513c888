"""A strict HTTP/1.1 client for tests: what it accepts is well formed, and what was cut off never looks whole.

Knows responses only. Requests are bytes that the test writes down. Every wait ends at a deadline.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

PATIENCE = 10.0


class Malformed(AssertionError):
    """The server sent something that is not HTTP/1.1."""


class ConnectionEnded(AssertionError):
    """The connection ended where a response, or the rest of one, was due."""


@dataclass(slots=True)
class Response:
    """A response head, and its body as far as it came. `whole` says whether the framing was fulfilled."""

    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    framing: str = "none"
    body: bytes = b""
    whole: bool = True
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def from_application(self) -> bool:
        """Whether the test application made this response (it marks all of its own)."""
        return self.get("X-Application") is not None


class Wire:
    """One connection to a server: `address` is a (host, port) pair or the path of a Unix socket."""

    def __init__(self, address: tuple[str, int] | str, *, patience: float = PATIENCE) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(patience)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.patience = patience
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it, or as much as a server that has already refused and closed will take."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer that came before is still to be read

    def drip(self, data: bytes, *, step: int = 1) -> None:
        """Send in small pieces, each in a packet of its own."""
        for start in range(0, len(data), step):
            self.send(data[start : start + step])

    def end_sending(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already closed from the other side

    def reset(self) -> None:
        """Leave at once with a reset, as a crashed client does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def receive(self) -> bool:
        """Wait for more bytes; false at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise AssertionError(f"no answer in {self.patience} s; so far {self.buffer[:200]!r}") from None
        except ConnectionError:
            data = b""
        self.buffer += data
        return bool(data)

    def receive_until(self, mark: bytes) -> float:
        """Wait until `mark` has arrived; the moment (monotonic) at which it had."""
        while mark not in self.buffer:
            if not self.receive():
                raise ConnectionEnded(f"ended before {mark!r}: {self.buffer[-200:]!r}")
        return time.monotonic()

    def read_line(self) -> bytes:
        while b"\n" not in self.buffer:
            if not self.receive():
                raise ConnectionEnded(f"ended inside a line: {self.buffer[:100]!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise Malformed(f"line does not end in CRLF: {line[:100]!r}")
        return line[:-1]

    def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self.receive():
                raise ConnectionEnded(f"ended {size - len(self.buffer)} bytes early")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_at_most(self, size: int) -> bytes:
        """This many bytes, or as many as came before the end of the connection."""
        blocks, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < size and self.receive():
            have += len(self.buffer)
            blocks.append(self.buffer)
            self.buffer = b""
        data = b"".join(blocks)
        self.buffer = data[size:]
        return data[:size]

    def read_to_end(self) -> bytes:
        while self.receive():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def is_closed(self, *, within: float = 5.0) -> bool:
        """Whether the server closes, without another byte, within this time."""
        self.socket.settimeout(within)
        try:
            return not self.buffer and not self.socket.recv(1)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.settimeout(self.patience)

    def read_fields(self) -> list[tuple[str, str]]:
        fields = []
        while line := self.read_line():
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip() or b" " in name:
                raise Malformed(f"not a header field: {line[:100]!r}")
            if b"\r" in value or b"\0" in value:
                raise Malformed(f"control character in a header: {line[:100]!r}")
            fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        return fields

    def read_head(self) -> Response:
        line = self.read_line()
        version, _, rest = line.partition(b" ")
        status, _, reason = rest.partition(b" ")
        if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
            raise Malformed(f"not a status line: {line[:100]!r}")
        return Response(int(status), reason.decode("latin-1"), version.decode(), self.read_fields())

    def read_response(self, method: str = "GET", *, interim: bool = False) -> Response:
        """The next response; 1xx ones are skipped unless `interim`."""
        response = self.read_head()
        while response.status < 200 and not interim:
            response = self.read_head()
        if response.status < 200:
            return response
        codings, lengths = response.all("Transfer-Encoding"), response.all("Content-Length")
        if codings and lengths:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if len(lengths) > 1:
            raise Malformed(f"several Content-Length: {lengths}")
        if method == "HEAD" or response.status in (204, 304):
            if response.status == 204 and (codings or lengths):
                raise Malformed("204 with a framing header")
            return response
        try:
            self._read_body(response, codings, lengths)
        except ConnectionEnded:
            response.whole = False
        return response

    def _read_body(self, response: Response, codings: list[str], lengths: list[str]) -> None:
        if codings:
            if [coding.lower() for coding in codings] != ["chunked"]:
                raise Malformed(f"transfer coding {codings}")
            response.framing = "chunked"
            while size := int(self.read_line(), 16):
                response.body += self.read_exactly(size)
                if self.read_exactly(2) != b"\r\n":
                    raise Malformed("a chunk does not end in CRLF")
            response.trailers = self.read_fields()
        elif lengths:
            response.framing = "length"
            response.body = self.read_at_most(int(lengths[0]))
            response.whole = len(response.body) == int(lengths[0])
        else:
            response.framing = "close"
            response.body = self.read_to_end()


def request(target: str, *headers: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    """A well-formed request; a Content-Length is added when there is a body and no header says how long it is."""
    lines = [f"{method} {target} HTTP/{version}", "Host: test", *headers]
    framed = any(header.lower().startswith(("content-length:", "transfer-encoding:")) for header in headers)
    if body and not framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunks(*blocks: bytes, trailer: bytes = b"") -> bytes:
    """A body in the chunked coding, a chunk for each block."""
    return b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks) + b"0\r\n" + trailer + b"\r\n"


def packet(variables: Mapping[str, str], *, modifier1: int = 0, modifier2: int = 0) -> bytes:
    """A request head of the uwsgi protocol: 4 bytes, then names and values with 16-bit lengths."""
    block = b"".join(
        struct.pack("<H", len(text)) + text
        for pair in variables.items()
        for text in (pair[0].encode("latin-1"), pair[1].encode("latin-1"))
    )
    return struct.pack("<BHB", modifier1, len(block), modifier2) + block


def nginx_variables(target: str, **more: str) -> dict[str, str]:
    """What nginx sends with `include uwsgi_params` for a GET of `target`."""
    path, _, query = target.partition("?")
    return {
        "QUERY_STRING": query,
        "REQUEST_METHOD": "GET",
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "SERVER_PORT": "80",
        "SERVER_NAME": "test",
        "HTTP_HOST": "test",
        **more,
    }
