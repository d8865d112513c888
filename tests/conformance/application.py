"""The WSGI application that the conformance and protocol tests are served by: well-behaved and misbehaving routes.

The first segment of the path names the route. Every response carries `X-Application`, so that a test can tell an
answer of the application from one of the server. What must be counted across processes (was `close()` called?) is
kept as files below the directory in `CONFORMANCE_STATE`; `count()` in this module reads them from the test.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote
from wsgiref.validate import validator

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Route = Callable[[Environ, StartResponse, dict[str, str], str], Iterable[bytes]]

STATE_VARIABLE = "CONFORMANCE_STATE"
PATTERN = bytes(range(256)) * 1200
TEXT = ("Content-Type", "text/plain")
SECRET = "a secret of the traceback"


def mark(state: str | os.PathLike[str], kind: str, ident: str) -> None:
    """Count one event; appending a byte is atomic between processes."""
    with open(Path(state) / f"{kind}-{ident}", "ab", buffering=0) as file:
        file.write(b"x")


def count(state: str | os.PathLike[str], kind: str, ident: str) -> int:
    """How many events of this kind were counted for `ident`."""
    try:
        return (Path(state) / f"{kind}-{ident}").stat().st_size
    except FileNotFoundError:
        return 0


def note(kind: str, ident: str) -> None:
    mark(os.environ[STATE_VARIABLE], kind, ident)


def pattern_file() -> Path:
    path = Path(os.environ[STATE_VARIABLE]) / "pattern.bin"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
        temporary.write_bytes(PATTERN)
        temporary.replace(path)
    return path


# ------------------------------------------------------------------------------------------------------- request side


def plain(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    body = f"path={quote(environ['PATH_INFO'].encode('latin-1'))}\n".encode()
    start("200 OK", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


def answer(start: StartResponse, body: bytes, *headers: tuple[str, str]) -> list[bytes]:
    start("200 OK", [TEXT, ("Content-Length", str(len(body))), *headers])
    return [body]


def offered(stream: object, *names: str) -> list[str]:
    return [name for name in names if hasattr(stream, name)]


def environment(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    shown = {
        key: value if isinstance(value, str | int | bool | tuple) else f"<{type(value).__name__}>"
        for key, value in environ.items()
    }
    facts = {
        "environ": shown,
        "is_dict": type(environ) is dict,
        "text": all(type(value) is str for key, value in environ.items() if key.isupper()),
        "input": offered(environ["wsgi.input"], "read", "readline", "readlines", "__iter__"),
        "errors": offered(environ["wsgi.errors"], "write", "writelines", "flush"),
        "body": environ["wsgi.input"].read().decode("latin-1"),
    }
    return answer(start, json.dumps(facts).encode())


def echo(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    return answer(start, environ["wsgi.input"].read())


def digest(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Read in blocks, as upload handlers do."""
    total, hashed = 0, hashlib.sha256()
    while block := environ["wsgi.input"].read(50_000):
        total += len(block)
        hashed.update(block)
    return answer(start, f"{total} {hashed.hexdigest()}".encode())


def ignore(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    return answer(start, b"ignored")


def readall(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Notes whether the body came to its end, so that a test knows what the application was told."""
    note("entered", query["id"])
    data = environ["wsgi.input"].read()
    length = environ.get("CONTENT_LENGTH")
    note("short" if length and len(data) < int(length) else "full", query["id"])
    return answer(start, data)


def reached(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    note("reached", query["id"])
    return answer(start, b"reached")


def read_with(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Use `wsgi.input` in the way that the rest of the path names."""
    stream = environ["wsgi.input"]
    size = int(query.get("n", "-1"))
    ways: dict[str, Callable[[], list[bytes]]] = {
        "read": lambda: [stream.read()],
        "read-size": lambda: [stream.read(size), stream.read()],
        "read-none": lambda: [stream.read(None)],
        "read-minus-one": lambda: [stream.read(-1)],
        "read-zero": lambda: [stream.read(0), stream.read(5)],
        "read-past-end": lambda: [stream.read(10_000), stream.read(10), stream.read()],
        "readline": lambda: list(iter(stream.readline, b"")),
        "readline-size": lambda: [stream.readline(size), stream.readline(size)],
        "readlines": lambda: stream.readlines(),
        "readlines-hint": lambda: stream.readlines(size),
        "iterate": lambda: list(stream),
    }
    return answer(start, json.dumps([block.decode("latin-1") for block in ways[rest]()]).encode())


# ------------------------------------------------------------------------------------------------------ response side


def status(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """A status with the headers and the body that the query asks for."""
    headers = [TEXT] if "typed" in query else []
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    start(rest, headers)
    return [query["body"].encode()] if "body" in query else []


def stream(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """`blocks` blocks of `size` bytes, with a pause of `pause` seconds after every `burst` of them."""
    start("200 OK", [TEXT] + ([("Content-Length", query["length"])] if "length" in query else []))

    def produce() -> Iterator[bytes]:
        for number in range(int(query.get("blocks", "3"))):
            if number and "pause" in query and number % int(query.get("burst", "1")) == 0:
                time.sleep(float(query["pause"]))
            yield b"%d" % (number % 10) * int(query.get("size", "5"))

    return produce()


def slow(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    time.sleep(float(query["t"]))
    return answer(start, b"slept")


def big(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    size = int(query["size"])
    return answer(start, (PATTERN * (size // len(PATTERN) + 1))[:size])


def written(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """The callable that `start_response` returns, PEP 3333's imperative way."""
    if rest == "length":
        write = start("200 OK", [TEXT, ("Content-Length", "6")])
        write(b"abc")
        return [b"def"]
    write = start("200 OK", [TEXT])
    write(b"one,")
    if "pause" in query:
        time.sleep(float(query["pause"]))
    write(b"two,")
    return [] if rest == "only" else [b"three,", b"four"]


class OnlyIterable:
    """Has `__iter__`, and nothing else that an iterator or a sequence has."""

    def __init__(self, blocks: list[bytes]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks


def iterable(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    kinds: dict[str, Callable[[], Iterable[bytes]]] = {
        "list": lambda: [b"one,", b"two"],
        "tuple": lambda: (b"one,", b"two"),
        "one": lambda: [b"single"],
        "empty": lambda: [],
        "only-iterable": lambda: OnlyIterable([b"one,", b"two"]),
        "empty-blocks": lambda: iter([b"", b"one,", b"", b"", b"two", b""]),
    }
    if rest == "late":
        return late(start)
    start("200 OK", [TEXT])
    return kinds[rest]()


def late(start: StartResponse) -> Iterator[bytes]:
    """`start_response` at the first iteration, and an empty block first: both are allowed."""
    start("200 OK", [TEXT])
    yield b""
    yield b"late"


def length(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Bodies that do not have the length that was promised."""
    promised, blocks = {
        "short": (10, [b"short"]),
        "long": (5, [b"12345EXCESS"]),
        "long-blocks": (5, [b"123", b"45", b"EXCESS", b"MORE"]),
        "zero": (0, [b"EXCESS"]),
        "exact": (5, [b"123", b"45"]),
    }[rest]
    start("200 OK", [TEXT, ("Content-Length", str(promised))])
    return iter(blocks)


def header(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Any response header: `name` and `value` in hexadecimal."""
    name, value = (bytes.fromhex(query[key]).decode("latin-1") for key in ("name", "value"))
    start("200 OK", [TEXT, (name, value), ("Content-Length", "2")])
    return [b"ok"]


def headers(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Sets of response headers, some of which no application should send."""
    kinds: dict[str, Any] = {
        "cookies": [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Set-Cookie", "c=3")],
        "own-date": [("Date", "Thu, 01 Jan 2015 00:00:00 GMT"), ("Server", "mine")],
        "latin1": [("X-Latin", "caf\xe9")],
        "number": [("X-Number", 5)],
        "bytes": [(b"X-Bytes", b"v")],
        "unicode": [("X-Unicode", "\u20ac")],
        "none": None,
        "big": [("X-Big", "b" * 60_000)],
        "many": [(f"X-{number}", "v") for number in range(500)],
        "close": [("Connection", "close")],
        "coded": [("Transfer-Encoding", "chunked")],
        "two-lengths": [("Content-Length", "5"), ("Content-Length", "10")],
        "bad-length": [("Content-Length", "five")],
        "empty-name": [("", "v")],
        "space-name": [("X A", "v")],
    }
    chosen = kinds[rest]
    start("200 OK", chosen if chosen is None else [TEXT, *chosen])
    return [b"12345"]


def bad_status(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    kinds: dict[str, Any] = {
        "number": 200,
        "none": None,
        "bytes": b"200 OK",
        "empty": "",
        "word": "abc",
        "crlf": "200 OK\r\nX-Injected: 1",
        "lf": "200 OK\nX-Injected: 1",
    }
    start(kinds[rest], [TEXT, ("Content-Length", "2")])
    return [b"ok"]


# ------------------------------------------------------------------------------------------------- errors and closing


class Closing:
    """An iterable that notes each call of `close()`."""

    def __init__(self, blocks: Iterable[bytes], ident: str, *, fails: bool = False) -> None:
        self.blocks, self.ident, self.fails = iter(blocks), ident, fails

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks

    def close(self) -> None:
        note("close", self.ident)
        if self.fails:
            raise RuntimeError(SECRET)


def failing_at(number: int) -> Iterator[bytes]:
    for _ in range(number):
        yield b"part"
    raise RuntimeError(SECRET)


def slowly(blocks: int, pause: float) -> Iterator[bytes]:
    for _ in range(blocks):
        yield b"x" * 1000
        time.sleep(pause)


def closing(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Responses whose `close()` is counted under `id`."""
    ident = query["id"]
    if rest == "not-started":
        return Closing([b"no start_response"], ident)
    sized = [("Content-Length", "100")] if rest == "midway-length" else []
    start("204 No Content" if rest == "empty" else "200 OK", [] if rest == "empty" else [TEXT, *sized])
    kinds: dict[str, Callable[[], Iterable[bytes]]] = {
        "normal": lambda: [b"a", b"b"],
        "empty": lambda: [],
        "first-block": lambda: failing_at(0),
        "midway": lambda: failing_at(1),
        "midway-length": lambda: failing_at(1),
        "text": lambda: iter(["text is not bytes"]),  # type: ignore[list-item]
        "slowly": lambda: slowly(400, 0.02),
        "failing": lambda: [b"ok"],
    }
    return Closing(kinds[rest](), ident, fails=rest == "failing")


def error(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Every way for an application to fail before its headers are out, and to misuse `start_response`."""
    if rest == "before":
        raise RuntimeError(SECRET)
    if rest == "none":
        return None  # type: ignore[return-value]
    if rest == "not-started":
        return [b"no start_response"]
    write = start("200 OK", [TEXT, ("X-First", "1")])
    if rest == "started":
        raise RuntimeError(SECRET)
    if rest == "text":
        return "text is not bytes"  # type: ignore[return-value]
    if rest == "twice":
        start("200 OK", [TEXT])
    if rest in ("replaced", "replaced-late"):
        if rest == "replaced-late":
            write(b"sent")
        try:
            raise ValueError(SECRET)
        except ValueError:
            start("500 Replaced", [TEXT, ("Content-Length", "8")], sys.exc_info())
        return [b"replaced"]
    return [b"ok"]


def leave(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Exceptions that end a process when nothing holds them."""
    raise {"system-exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "generator": GeneratorExit()}[rest]


def recursion(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    return recursion(environ, start, query, rest)


def pollute(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """Leave things in the environ that the next request must not see."""
    environ.update({"SCRIPT_NAME": "/left", "REMOTE_USER": "root", "HTTP_X_LEFT": "over", "left.over": True})
    return answer(start, b"polluted")


def log_error(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    errors = environ["wsgi.errors"]
    errors.write(f"written to wsgi.errors {rest} \u20ac\n")
    errors.writelines(["and ", "more\n"])
    errors.flush()
    return answer(start, b"logged")


# --------------------------------------------------------------------------------------------------------------- files


class ReadOnly:
    """Only `read()` and `close()`: no descriptor, no position."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    def close(self) -> None:
        self.file.close()


def file(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    """`wsgi.file_wrapper` around every kind of file; `id` counts the closing of real ones."""

    class Counted(io.FileIO):
        def close(self) -> None:
            if not self.closed and "id" in query:
                note("close", query["id"])
            super().close()

    def real(position: int = 0) -> io.FileIO:
        opened = Counted(pattern_file(), "rb")
        opened.seek(position)
        return opened

    def pipe() -> io.FileIO:
        reader, writer = os.pipe()
        os.write(writer, b"p" * 500)
        os.close(writer)  # gevent's waits for its hub, which a read that waits for the end would block
        return io.FileIO(reader)

    size = len(PATTERN)
    kinds: dict[str, tuple[int | None, Callable[[], Any]]] = {
        "sized": (size, real),
        "unsized": (None, real),
        "offset": (size - 1000, lambda: real(1000)),
        "offset-unsized": (None, lambda: real(1000)),
        "shorter": (1000, real),
        "longer": (size + 1000, real),
        "read-only": (1000, lambda: ReadOnly(b"r" * 1000)),
        "read-only-unsized": (None, lambda: ReadOnly(b"r" * 1000)),
        "memory": (1000, lambda: io.BytesIO(b"m" * 1000)),
        "empty": (0, lambda: io.FileIO(os.devnull)),
        "pipe": (500, pipe),
        "buffered-pipe": (500, lambda: io.BufferedReader(pipe())),
        "iterated": (size, real),
    }
    promised, opener = kinds[rest]
    start("200 OK", [TEXT] + ([("Content-Length", str(promised))] if promised is not None else []))
    wrapped = environ["wsgi.file_wrapper"](opener(), 8192)
    return (block for block in wrapped) if rest == "iterated" else wrapped


@validator
def validated(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", [TEXT, ("Content-Length", str(len(data) + 6))])
    return [b"valid:", data] if data else [b"valid:"]


def validate(environ: Environ, start: StartResponse, query: dict[str, str], rest: str) -> Iterable[bytes]:
    return validated(environ, start)  # type: ignore[no-any-return]


ROUTES: dict[str, Route] = {
    "bad-status": bad_status,
    "big": big,
    "closing": closing,
    "digest": digest,
    "echo": echo,
    "environ": environment,
    "error": error,
    "file": file,
    "header": header,
    "headers": headers,
    "ignore": ignore,
    "input": read_with,
    "iterable": iterable,
    "leave": leave,
    "length": length,
    "log-error": log_error,
    "pollute": pollute,
    "reached": reached,
    "readall": readall,
    "recursion": recursion,
    "slow": slow,
    "status": status,
    "stream": stream,
    "validate": validate,
    "write": written,
}


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def start(status: Any, headers: Any, *exc_info: Any) -> Callable[[bytes], object]:
        marked = [("X-Application", "yes"), *headers] if isinstance(headers, list) else headers
        return start_response(status, marked, *exc_info)

    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    return ROUTES.get(name, plain)(environ, start, query, rest)
