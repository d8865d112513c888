"""What a late request waits for, judged by its stack, by what the framework noted, and by where the kernel has it.

A table of the libraries that people wait in, most telling first: a database driver says more than the socket that it
reads from, and a name that is being resolved more than the client that wanted to connect. C functions have no frame:
the line that calls them is looked at instead. What nothing explains is computing.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uwsgi_deploy.reports.incident import Frame, Incident
from uwsgi_deploy.reports.notes import Call
from uwsgi_deploy.reports.redaction import Redactor
from uwsgi_deploy.reports.stacks import SourceLines, Territory, is_server, last_name, library_name

CLIENT, POOL, DNS, DATABASE, CACHE, HTTP, MAIL, BROKER = (
    "client",
    "database pool",
    "dns",
    "database",
    "cache",
    "http",
    "mail server",
    "message broker",
)
SUBPROCESS, LOCK, SLEEP, SOCKET, FILE, CPU = "subprocess", "lock", "sleep", "socket", "file", "cpu"
KINDS = (CLIENT, POOL, DNS, DATABASE, CACHE, HTTP, MAIL, BROKER, SUBPROCESS, LOCK, SLEEP, SOCKET, FILE, CPU)
"""Most telling first."""

# Of a frame between the application and the place where the request is, "FILE:FUNCTION" as its library calls the file.
_LIBRARIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (POOL, (r"sqlalchemy/util/queue\.py:", r"psycopg_pool/\w+\.py:(?:getconn|wait|_getconn\w*|get|connection)$")),
    (
        DNS,
        (
            r"socket\.py:(?:getaddrinfo|gethostby\w+)$",
            r"gevent/resolver/",
            r"gevent/_socketcommon\.py:getaddrinfo",
            r"dns/\w+\.py:",
        ),
    ),
    (
        DATABASE,
        (
            r"psycopg2?/|psycopg_c/|psycogreen/|pymysql/|MySQLdb/|mysql/connector/|asyncpg/|sqlite3/|oracledb/|cx_Oracle",
            r"pymongo/|pyodbc|clickhouse_\w+/|cassandra/|peewee\.py:execute",
            r"django/db/backends/|django/db/models/sql/|sqlalchemy/(?:engine|dialects|pool)/",
        ),
    ),
    (CACHE, (r"redis/|valkey/|pymemcache/|memcache\.py:|pylibmc|bmemcached/|django/core/cache/backends/",)),
    (
        HTTP,
        (
            r"requests/|urllib3/|httpx/|httpcore/|aiohttp/|botocore/|grpc/|pycurl",
            r"http/client\.py:|urllib/request\.py:",
        ),
    ),
    (MAIL, (r"smtplib\.py:|imaplib\.py:|poplib\.py:",)),
    (BROKER, (r"kombu/|amqp/|pika/|kafka/|confluent_kafka/|nats/",)),
    (SUBPROCESS, (r"(?:gevent/)?subprocess\.py:|sh\.py:|pexpect/",)),
    (
        LOCK,
        (
            r"threading\.py:|queue\.py:(?:get|put|join)$|concurrent/futures/|multiprocessing/|filelock/|asyncio/",
            r"gevent/(?:lock|event|queue|thread(?:ing)?|pool|threadpool|_threading|greenlet)\.py:",
        ),
    ),
    (SLEEP, (r"gevent/hub\.py:sleep$|gevent/time\.py:",)),
    (
        SOCKET,
        (
            r"(?:gevent/)?_?ssl\w*\.py:|socket\.py:|socketserver\.py:",
            r"gevent/_socket\w*\.py:|(?:gevent/)?select(?:ors)?\.py:",
        ),
    ),
    (
        FILE,
        (
            r"shutil\.py:|zipfile\.py:|tarfile\.py:|gzip\.py:|lzma\.py:|tempfile\.py:|pathlib\.py:",
            r"gevent/_fileobject\w*\.py:",
        ),
    ),
    (
        CPU,
        (
            r"re/|sre_\w+\.py:|json/|pickle\.py:|copy\.py:|decimal\.py:|csv\.py:",
            r"random\.py:|statistics\.py:|hashlib\.py:",
        ),
    ),
)

# What a line calls, where the innermost frame is a line that calls C code.
_LINES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (DNS, (r"\b(?:getaddrinfo|gethostby\w+)\(",)),
    (DATABASE, (r"\.(?:execute|executemany|fetchall|fetchone|fetchmany|commit|rollback)\(",)),
    (SUBPROCESS, (r"\bos\.(?:system|wait\w*|popen)\(|\bPopen\(",)),
    (
        LOCK,
        (
            r"\.(?:acquire|lockf|flock)\(|\b(?:flock|lockf)\(|\.join\(\)",
            r"^with \S*(?:lock|mutex|sem\w*|cond\w*)\b",
        ),
    ),
    (SLEEP, (r"\bsleep\(",)),
    (SOCKET, (r"\.(?:recv\w*|accept|connect|sendall|sendto|send)\(|\bselect\.\w+\(|\.poll\(",)),
    (
        CPU,
        (
            r"\bre\.\w+\(|\.(?:match|fullmatch|search|sub|subn|findall|finditer)\(",
            r"\bhashlib\.|\bpbkdf2_hmac\(|\bscrypt\(",
        ),
    ),
    (
        FILE,
        (
            r"\bopen\(|\.(?:read|readline|readlines|write|flush)\(",
            r"\bos\.(?:read|write|fsync|fdatasync|stat|listdir|scandir)\(",
        ),
    ),
)


def _compiled(
    table: tuple[tuple[str, tuple[str, ...]], ...], flags: int = 0
) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((kind, re.compile("|".join(patterns), flags)) for kind, patterns in table)


_BY_LIBRARY = _compiled(_LIBRARIES)
_BY_LINE = _compiled(_LINES, re.IGNORECASE)

# Of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) and arm64 (include/uapi/asm-generic/unistd.h).
_SYSCALLS: Mapping[str, Mapping[int, str]] = {
    "x86_64": {
        **dict.fromkeys((35, 230), SLEEP),
        **dict.fromkeys((61, 247), SUBPROCESS),
        **dict.fromkeys((73,), LOCK),
        **dict.fromkeys((202,), LOCK),
        **dict.fromkeys((7, 23, 42, 43, 44, 45, 46, 47, 232, 270, 271, 281, 288), SOCKET),
        **dict.fromkeys((17, 18, 74, 75), FILE),
    },
    "aarch64": {
        **dict.fromkeys((101, 115), SLEEP),
        **dict.fromkeys((95, 260), SUBPROCESS),
        **dict.fromkeys((32, 98), LOCK),
        **dict.fromkeys((22, 72, 73, 202, 203, 206, 207, 211, 212, 242), SOCKET),
        **dict.fromkeys((67, 68, 82, 83), FILE),
    },
}
_CHANNELS: tuple[tuple[str, str], ...] = (
    (SLEEP, r"nanosleep"),
    (SUBPROCESS, r"^do_wait|kernel_wait4|pidfd"),
    (LOCK, r"futex|flock|locks_lock"),
    (SOCKET, r"poll|epoll|select|sk_|tcp_|inet_|unix_|skb|sock"),
    (FILE, r"folio|page|ext4|xfs|btrfs|nfs|fuse|jbd2|blk|io_schedule|pipe"),
)
_BY_CHANNEL = tuple((kind, re.compile(pattern)) for kind, pattern in _CHANNELS)
# The server's files in which a request waits for its client.
_EXCHANGES = re.compile(
    r"/uwsgi_deploy/(?:wsgi/(?:body|response|file_wrapper)\.py|net/|worker/engines/|api/websockets\.py)"
)
_EXCHANGED = (
    ("/wsgi/body.py", "reading the request's body"),
    ("/wsgi/response.py", "sending the response"),
    ("/api/websockets.py", "a WebSocket"),
)
_MOST_EVIDENCE = 4
_KIND_OF_CALL = {"database": DATABASE, "cache": CACHE, "http": HTTP, "mail": MAIL, "subprocess": SUBPROCESS}
# What a call that the framework noted may itself wait for, more tellingly than the call.
_CAUSES = frozenset({CLIENT, POOL, DNS})


@dataclass(frozen=True, slots=True)
class Waiting:
    """kind: one of `KINDS`. place: the call that waits, for people (`psycopg/cursor.py execute`). target: what or whom
    for, where that is known; seconds: how long that call has run, where that is known. evidence: why it is thought so.
    """

    kind: str
    place: str
    target: str = ""
    seconds: float | None = None
    evidence: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """As a report has it."""
        return {
            "kind": self.kind,
            "place": self.place,
            "target": self.target,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class _Judgement:
    kind: str
    place: str
    evidence: str


def waiting_on(
    incident: Incident,
    frames: Sequence[Frame],
    territory: Territory,
    sources: SourceLines,
    redactor: Redactor,
) -> Waiting | None:
    """What the request waits for; None where nothing at all is known. frames: of the request, innermost first."""
    by_frames = _by_frames(frames, territory)
    by_line = _by_line(frames, sources)
    by_kernel = _by_kernel(incident.kernel)
    if frames and by_kernel is not None and (not _is_in_main_thread(incident) or by_kernel.kind == LOCK):
        by_kernel = None  # it is about another thread, or about one that waits for the interpreter
    call, since = _running(incident)
    evidence = tuple(judged.evidence for judged in (by_frames, by_line, by_kernel) if judged is not None)
    if call is not None and (by_frames is None or by_frames.kind not in _CAUSES):
        text = _shown(call, redactor)
        place = by_frames.place if by_frames is not None else _place(frames[0]) if frames else call.kind
        kind = _KIND_OF_CALL.get(call.kind, call.kind)
        noted = f"noted: {call.kind} {call.target} {text}".rstrip()[:300]
        return Waiting(kind, place, call.target, since, (noted, *evidence)[:_MOST_EVIDENCE])
    judged = by_frames or by_line
    if judged is None and frames and by_kernel is None:
        judged = _Judgement(CPU, _place(frames[0]), "no call that waits is known here: it computes")
        evidence = (judged.evidence, *evidence)
    judged = judged or by_kernel
    if judged is None:
        return None
    target = call.target if call is not None else ""
    return Waiting(judged.kind, judged.place, target, None, evidence[:_MOST_EVIDENCE])


def _by_frames(frames: Sequence[Frame], territory: Territory) -> _Judgement | None:
    """The libraries between the application and the place where the request is."""
    if frames and _is_exchange(frames[0]):
        return _Judgement(CLIENT, _exchange(frames), f"in the server's {frames[0].function}()")
    inner: list[Frame] = []
    for frame in frames:
        if territory.is_application(frame):
            break
        inner.append(frame)
    best: tuple[int, Frame, str] | None = None
    for frame in inner:
        name = f"{library_name(frame)}:{last_name(frame)}"
        for rank, (kind, pattern) in enumerate(_BY_LIBRARY):
            if pattern.match(name):
                # Of frames of the same library the outermost: it is what the application called.
                if best is None or rank <= best[0]:
                    best = (rank, frame, kind)
                break
    if best is None:
        return None
    _, frame, kind = best
    return _Judgement(
        kind, _place(frame), f"in {_place(inner[0])} line {inner[0].line}, called through {_place(frame)}"
    )


def _by_line(frames: Sequence[Frame], sources: SourceLines) -> _Judgement | None:
    """What the innermost line calls, if that has no frame of its own."""
    if not frames or is_server(frames[0]):
        return None
    frame = frames[0]
    line = sources.line(frame)
    for kind, pattern in _BY_LINE:
        found = pattern.search(line)
        if found:
            return _Judgement(kind, _place(frame), f"line {frame.line} of {_place(frame)}: {line}"[:300])
    return None


def _by_kernel(kernel: Mapping[str, str]) -> _Judgement | None:
    """`wchan` and `syscall` of the worker's main thread (proc(5))."""
    channel, call = kernel.get("wchan", ""), kernel.get("syscall", "")
    if call.startswith("running"):
        return _Judgement(CPU, "the processor", "the kernel says: running")
    number = call.split(" ", 1)[0]
    if number.isdigit():
        kind = _SYSCALLS.get(platform.machine(), {}).get(int(number))
        if kind is not None:
            return _Judgement(kind, "the kernel", f"system call {number}" + (f", {channel}" if channel else ""))
    for kind, pattern in _BY_CHANNEL:
        if pattern.search(channel):
            return _Judgement(kind, "the kernel", f"in the kernel's {channel}")
    return None


def _running(incident: Incident) -> tuple[Call | None, float | None]:
    """The call that runs, which the framework noted, and for how long: of several the one that began last."""
    notes = incident.notes
    if notes is None or not notes.running:
        return None, None
    call = max(notes.running, key=lambda call: call.started)
    return call, max(0.0, notes.seen - call.started) if notes.seen else None


def _shown(call: Call, redactor: Redactor) -> str:
    if call.kind == "database":
        return redactor.statement(call.text, vendor=call.target)
    return redactor.call(call.text)


def _is_exchange(frame: Frame) -> bool:
    """Whether the server itself waits there, for the client."""
    return is_server(frame) and _EXCHANGES.search(frame.file) is not None


def _is_in_main_thread(incident: Incident) -> bool:
    return incident.core == 0 or incident.engine != "threads"


def _exchange(frames: Sequence[Frame]) -> str:
    """What the server waits for the client with."""
    for frame in frames:
        if not is_server(frame):
            break
        for file, what in _EXCHANGED:
            if frame.file.endswith(file):
                return what
    return _place(frames[0])


def _place(frame: Frame) -> str:
    name = library_name(frame) or "/".join(frame.file.rsplit("/", 2)[-2:])
    return f"{name} {frame.function}"
