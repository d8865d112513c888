"""`uwsgi-deploy curl`: send one request to a socket, in any protocol that the server speaks, and print the answer.

For a look at what stands behind nginx, and for health checks. Exit codes are curl's: 0, 7 nobody there, 8 no answer of
this protocol, 18 the answer ended early, 22 a status of 400 or more with --fail, 28 the time is over, 52 no answer.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

import click

from uwsgi_deploy.errors import ConfigError, ProtocolError
from uwsgi_deploy.net.address import InheritedAddress, TcpAddress, parse_address
from uwsgi_deploy.protocol import fastcgi, scgi, uwsgi
from uwsgi_deploy.protocol.framing import ChunkedDecoder

UNREACHABLE, MALFORMED, PARTIAL, REFUSED, TIMED_OUT, EMPTY = 7, 8, 18, 22, 28, 52
_BLOCK = 65536
_LONGEST_HEAD = 1 << 20
_END_SIZE = 8
# What may stand in a target as it is (RFC 3986, and the escapes that somebody wrote).
_PLAIN = "%/?#[]@!$&'()*+,;=:-._~"
_END_OF_HEAD = b"\r\n\r\n"


class Failure(Exception):
    """The request has no whole answer; `code` is the exit code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, before any protocol. target: path and query; headers: names and values as they were given."""

    method: str
    target: str
    host: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def variables(self) -> dict[str, str]:
        """The request as a web server would tell it."""
        path, _, query = self.target.partition("?")
        host, _, port = self.host.rpartition(":")
        named = {
            "REQUEST_METHOD": self.method,
            "REQUEST_URI": self.target,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": host or self.host,
            "SERVER_PORT": port or "80",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "0",
            "CONTENT_LENGTH": str(len(self.body)) if self.body else "",
            "HTTP_HOST": self.host,
        }
        for name, value in self.headers:
            key = name.upper().replace("-", "_")
            named[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        return named


# --- requests and answers of each protocol ----------------------------------------------------------------------------


def _http(request: Request) -> bytes:
    given = {name.lower() for name, _ in request.headers}
    defaults = {"Host": request.host, "Connection": "close", "User-Agent": "uwsgi-deploy", "Accept": "*/*"}
    if request.body:
        defaults["Content-Length"] = str(len(request.body))
    fields = [(name, value) for name, value in defaults.items() if name.lower() not in given]
    lines = [
        f"{request.method} {request.target} HTTP/1.1",
        *(f"{n}: {v}" for n, v in (*fields, *request.headers)),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + request.body


def _uwsgi(request: Request) -> bytes:
    return uwsgi.encode_variables(request.variables()) + request.body


def _scgi(request: Request) -> bytes:
    variables = request.variables()
    del variables["CONTENT_LENGTH"]
    return scgi.encode_request(variables, request.body)


def _fastcgi(request: Request) -> bytes:
    return fastcgi.encode_request(request.variables(), request.body)


def _as_it_is(blocks: Iterator[bytes]) -> Iterator[bytes]:
    return blocks


def _stdout(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of STDOUT records, to the end of the request; what comes as STDERR goes there."""
    data, at, begun = b"", 0, False
    for block in blocks:
        data, at, begun = data[at:] + block, 0, True
        try:
            while record := fastcgi.read_record(data, at):
                at = record.end
                if record.kind == fastcgi.STDOUT:
                    yield record.content
                elif record.kind == fastcgi.STDERR:
                    click.echo(record.content, nl=False, err=True)
                elif record.kind == fastcgi.END_REQUEST:
                    if len(record.content) != _END_SIZE:
                        raise Failure(MALFORMED, "the answer ended with a malformed END_REQUEST")
                    if status := record.content[4]:
                        raise Failure(MALFORMED, f"the server did not take the request (FastCGI status {status})")
                    return
        except ProtocolError:
            raise Failure(MALFORMED, "the answer is not FastCGI: does this socket speak another protocol?") from None
    raise Failure(PARTIAL, "the answer ended without END_REQUEST") if begun else Failure(EMPTY, NO_ANSWER)


NO_ANSWER = "the server closed the connection without an answer"
PROTOCOLS: Mapping[str, tuple[Callable[[Request], bytes], Callable[[Iterator[bytes]], Iterator[bytes]]]] = {
    "http": (_http, _as_it_is),
    "uwsgi": (_uwsgi, _as_it_is),
    "fastcgi": (_fastcgi, _stdout),
    "scgi": (_scgi, _as_it_is),
}


# --- the exchange -----------------------------------------------------------------------------------------------------


def connect(address: str, timeout: float) -> tuple[socket.socket, str]:
    """A connection to an address as the server takes them, and a Host for it. Raises Failure or ConfigError."""
    where = parse_address(address, "curl")
    try:
        if isinstance(where, TcpAddress):
            host = where.host or "127.0.0.1"
            name = f"[{host}]" if where.is_ipv6 else host
            return socket.create_connection((host, where.port), timeout), f"{name}:{where.port}"
        if isinstance(where, InheritedAddress):
            raise ConfigError("curl", f"{address} is a descriptor of a server, not an address to connect to")
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(timeout)
        client.connect(f"\0{where.path}" if where.abstract else where.path)
    except TimeoutError:
        raise Failure(TIMED_OUT, f"{address}: no connection within {timeout:g} s") from None
    except OSError as error:
        raise Failure(UNREACHABLE, f"{address}: {error.strerror or error}") from None
    return client, "localhost"


def exchange(client: socket.socket, protocol: str, request: Request, timeout: float) -> Iterator[bytes]:
    """Send the request; the response as HTTP or CGI has it, block by block. Raises Failure."""
    encode, decode = PROTOCOLS[protocol]
    deadline = monotonic() + timeout

    def blocks() -> Iterator[bytes]:
        while True:
            client.settimeout(max(deadline - monotonic(), 0.001))
            try:
                data = client.recv(_BLOCK)
            except TimeoutError:
                raise Failure(TIMED_OUT, f"the answer was not whole after {timeout:g} s") from None
            except ConnectionError:
                raise Failure(PARTIAL, "the server cut the connection") from None
            if not data:
                return
            yield data

    try:
        client.sendall(encode(request))
    except TimeoutError:
        raise Failure(TIMED_OUT, f"the request was not sent after {timeout:g} s") from None
    except (ValueError, UnicodeEncodeError) as error:
        raise Failure(MALFORMED, f"the request cannot be sent: {error}") from None
    except ConnectionError:
        pass  # refused before it was whole: the answer is on its way
    return decode(blocks())


@dataclass(slots=True)
class Head:
    """The head of a response."""

    raw: bytes
    status: int
    fields: dict[str, str]


def read_head(blocks: Iterator[bytes]) -> tuple[Head, bytes]:
    """The final response's head, and what has come of its body. Raises Failure."""
    data = b""
    while True:
        while _END_OF_HEAD not in data:
            block = next(blocks, b"")
            if not block or len(data) > _LONGEST_HEAD:
                raise Failure(MALFORMED if data else EMPTY, "the answer has no head" if data else NO_ANSWER)
            data += block
            if not b"HTTP/1.".startswith(data[:7]) and not b"Status:".startswith(data[:7]):
                raise Failure(MALFORMED, f"this is no answer of the protocol: {data[:60]!r}")
        raw, _, data = data.partition(_END_OF_HEAD)
        first, *lines = raw.decode("latin-1").split("\r\n")
        status = first.split(" ")[1] if " " in first else ""
        if not (len(status) == 3 and status.isdigit()):
            raise Failure(MALFORMED, f"this is no answer of the protocol: {first!r}")
        if status[0] != "1":
            fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            return Head(raw + _END_OF_HEAD, int(status), fields), data


def read_body(head: Head, data: bytes, blocks: Iterator[bytes], method: str) -> Iterator[bytes]:
    """The content of the body. Raises Failure when it ends early."""
    if method == "HEAD" or head.status in (204, 304):
        return
    if head.fields.get("transfer-encoding", "").lower() == "chunked":
        decoder = ChunkedDecoder()
        while True:
            yield from decoder.feed(data)
            if decoder.done:
                return
            data = _more(blocks)
    if "content-length" not in head.fields:
        yield data
        yield from blocks
        return
    length = head.fields["content-length"]
    if not (length.isascii() and length.isdigit()):
        raise Failure(MALFORMED, f"the answer has an invalid Content-Length: {length!r}")
    left = int(length)
    while True:
        yield data[:left]
        left -= len(data)
        if left <= 0:
            return
        data = _more(blocks)


def _more(blocks: Iterator[bytes]) -> bytes:
    data = next(blocks, b"")
    if not data:
        raise Failure(PARTIAL, "the answer ended early")
    return data


# --- the command ------------------------------------------------------------------------------------------------------


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(mark in text for mark in "\r\n\0"):
        raise click.BadParameter(f"{text!r} is no header: write 'Name: value'", param_hint="-H")
    return name.strip(), value.strip()


def _data(text: str) -> bytes:
    """`@FILE` is the content of a file, `@-` of standard input."""
    if not text.startswith("@"):
        return text.encode()
    try:
        with click.open_file(text[1:], "rb") as file:
            content: bytes = file.read()
            return content
    except OSError as error:
        raise click.BadParameter(f"{text[1:]} cannot be read: {error.strerror}", param_hint="-d") from None


def perform(
    address: str,
    path: str,
    *,
    protocol: str,
    method: str,
    headers: Sequence[str],
    data: str | None,
    with_head: bool,
    fail: bool,
    timeout: float,
    output: BinaryIO,
) -> int:
    """Do what the command line says; the exit code."""
    body = b"" if data is None else _data(data)
    given = [_header(text) for text in headers]
    if data is not None and not any(name.lower() == "content-type" for name, _ in given):
        given.append(("Content-Type", "application/x-www-form-urlencoded"))
    try:
        client, host = connect(address, timeout)
        with closing(client):
            target = quote(path if path.startswith(("/", "*")) else f"/{path}", safe=_PLAIN)
            named = next((value for name, value in given if name.lower() == "host"), host)
            request = Request(method or ("GET" if data is None else "POST"), target, named, tuple(given), body)
            blocks = exchange(client, protocol, request, timeout)
            head, rest = read_head(blocks)
            if with_head:
                output.write(head.raw)
            for block in read_body(head, rest, blocks, request.method):
                output.write(block)
                output.flush()
    except Failure as error:
        output.flush()
        click.echo(f"curl: {error}", err=True)
        return error.code
    except ProtocolError as error:
        click.echo(f"curl: {error.detail}", err=True)
        return MALFORMED
    output.flush()
    if fail and head.status >= 400:
        click.echo(f"curl: the status is {head.status}", err=True)
        return REFUSED
    return 0


@click.command("curl", short_help="Send one request to a socket and print the answer.")
@click.option(
    "--protocol", type=click.Choice(list(PROTOCOLS)), default="http", show_default=True, help="What it speaks."
)
@click.option("-X", "--request", "method", metavar="METHOD", default="", help="Method; GET, or POST with -d.")
@click.option("-H", "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="A header field. Repeatable.")
@click.option(
    "-d", "--data", metavar="DATA|@FILE", help="The request body; @FILE is a file's content, @- standard input."
)
@click.option("-i", "--include", "with_head", is_flag=True, help="Print the head of the answer, too.")
@click.option("-f", "--fail", is_flag=True, help="Exit code 22 for a status of 400 or more.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.001),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Most time for all of it.",
)
@click.argument("address")
@click.argument("path", default="/")
@click.pass_context
def curl(context: click.Context, /, address: str, path: str, **options: object) -> None:
    """Send one request to ADDRESS and print the answer.

    ADDRESS is written as for the server's sockets: 127.0.0.1:8000, :8000, /run/app.sock, @name.

    \b
    uwsgi-deploy curl :8000 /health
    uwsgi-deploy curl --protocol uwsgi -i /run/mysite/uwsgi.sock '/search?q=a'
    uwsgi-deploy curl --protocol fastcgi -f -d @order.json -H 'Content-Type: application/json' :9000 /orders

    Exit codes are curl's: 7 nobody there, 8 an answer of another protocol, 18 it ended early, 22 with --fail for a
    status of 400 or more, 28 the time is over, 52 no answer.
    """
    context.exit(perform(address, path, output=sys.stdout.buffer, **options))  # type: ignore[arg-type]
