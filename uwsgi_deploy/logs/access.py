"""Request lines: uWSGI's default line, or a `log-format` compiled once into a function.

Values are written so that no client can forge a line: control characters are escaped.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from uwsgi_deploy.config.settings.logs import LogSettings
from uwsgi_deploy.logs.record import LOG_VARIABLES, RequestRecord, packet_size

Format: TypeAlias = Callable[[RequestRecord], str]


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What is the same in all lines of a process."""

    pid: int
    wid: int


_PROCESS_FIELDS = ("pid", "wid")

_FIELD = re.compile(r"%\(([^)]*)\)")
_REMEMBERED_LINES = 256
_NONE: dict[str, str] = {}
_PAGE = os.sysconf("SC_PAGE_SIZE")


def default_format(process: ProcessFacts, *, micros: bool, x_forwarded_for: bool) -> Format:
    """uWSGI's line, which a great many log parsers know.

    Requests that differ only in time and number share all other parts of their lines, so these are remembered.
    """
    unit = "micros" if micros else "msecs"
    scale = 1_000_000 if micros else 1000
    address_key = "HTTP_X_FORWARDED_FOR" if x_forwarded_for else "REMOTE_ADDR"
    start = f"[pid: {process.pid}|app: 0|req: "
    remembered: dict[tuple[object, ...], tuple[str, str, str]] = {}

    def line(record: RequestRecord) -> str:
        environ, facts, answer, started, duration, core, requests, total, _, _ = record
        get = environ.get
        address, user = get(address_key), get("REMOTE_USER")
        method, uri, protocol = environ["REQUEST_METHOD"], get("REQUEST_URI"), environ["SERVER_PROTOCOL"]
        status, body, head = answer.status, answer.sent_body, answer.head_size
        headers, sendfile = answer.header_count, answer.via_sendfile
        key = (address, user, facts, method, uri, protocol, status, body, head, headers, sendfile, core)
        parts = remembered.get(key)
        if parts is None:
            if len(remembered) >= _REMEMBERED_LINES:
                remembered.clear()
            client = address or environ["REMOTE_ADDR"]
            size = packet_size(environ, facts)
            via = " via sendfile()" if sendfile else ""
            parts = remembered[key] = (
                escape(f"{client} ({user or ''}) {{{facts.variables * 2} vars in {size} bytes}}"),
                escape(f"{method} {uri or ''} => generated {body} bytes in"),
                escape(
                    f"{unit}{via} ({protocol} {status}) {headers} headers in {head} bytes (1 switches on core {core})"
                ),
            )
        before, middle, after = parts
        return f"{start}{requests}/{total}] {before} [{_ctime(int(started))}] {middle} {int(duration * scale)} {after}"

    return line


def compile_format(template: str, process: ProcessFacts, *, x_forwarded_for: bool) -> Format:
    """A function for a log-format: `%(name)` is replaced, an unknown or empty value is `-`, all else is literal."""
    pieces: list[str | Format] = []
    at = 0
    for match in _FIELD.finditer(template):
        pieces.append(template[at : match.start()])
        pieces.append(_field(match[1], process, x_forwarded_for=x_forwarded_for))
        at = match.end()
    pieces.append(template[at:])

    def line(record: RequestRecord) -> str:
        return "".join([piece if isinstance(piece, str) else escape(piece(record)) or "-" for piece in pieces])

    return line


def unknown_fields(settings: LogSettings, set_by_rules: str = "") -> list[str]:
    """Names in the log-format that mean nothing here, so that the start can say so.

    set_by_rules: the text of all routing rules, which may set fields of their own (logvar).
    """
    names = (match[1] for match in _FIELD.finditer(settings.log_format))
    return [
        name
        for name in names
        if name not in _FIELDS
        and name not in _PROCESS_FIELDS
        and not name.startswith("var.")
        and f"logvar:{name}=" not in set_by_rules
    ]


def escape(text: str) -> str:
    """The text with control characters and quotes of lines made visible."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text)


def _field(name: str, process: ProcessFacts, *, x_forwarded_for: bool) -> Format:
    if name in _PROCESS_FIELDS:
        value = str(getattr(process, name))
        return lambda _: value
    if name.startswith("var."):
        return _variable(name[4:])
    if name == "addr" and x_forwarded_for:
        return lambda r: str(r.environ.get("HTTP_X_FORWARDED_FOR", r.environ["REMOTE_ADDR"]))
    return _FIELDS.get(name) or _set_by_rule(name)


def _set_by_rule(name: str) -> Format:
    """What a routing rule has set with logvar."""
    return lambda record: str(record.environ.get(LOG_VARIABLES, _NONE).get(name, ""))


def _variable(key: str) -> Format:
    return lambda record: str(record.environ.get(key, ""))


_last_ctime = (-1, "")


def _ctime(second: int) -> str:
    global _last_ctime
    if _last_ctime[0] != second:
        _last_ctime = (second, time.ctime(second))
    return _last_ctime[1]


def _local(record: RequestRecord) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(record.started))


def _memory_pages(column: int) -> int:
    """Bytes of virtual (0) or resident (1) memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[column]) * _PAGE


_FIELDS: dict[str, Format] = {
    "addr": _variable("REMOTE_ADDR"),
    "user": _variable("REMOTE_USER"),
    "method": _variable("REQUEST_METHOD"),
    "uri": _variable("REQUEST_URI"),
    "proto": _variable("SERVER_PROTOCOL"),
    "host": _variable("HTTP_HOST"),
    "uagent": _variable("HTTP_USER_AGENT"),
    "referer": _variable("HTTP_REFERER"),
    "cl": _variable("CONTENT_LENGTH"),
    "status": lambda r: str(r.answer.status),
    "rsize": lambda r: str(r.answer.sent_body),
    "size": lambda r: str(r.answer.sent_body + r.answer.head_size),
    "hsize": lambda r: str(r.answer.head_size),
    "headers": lambda r: str(r.answer.header_count),
    "vars": lambda r: str(r.facts.variables * 2),
    "pktsize": lambda r: str(packet_size(r.environ, r.facts)),
    "epoch": lambda r: str(int(r.started + r.duration)),
    "time": lambda r: str(int(r.started)),
    "tmsecs": lambda r: str(int(r.started * 1000)),
    "tmicros": lambda r: str(int(r.started * 1_000_000)),
    "secs": lambda r: f"{r.duration:.6f}"[:10],
    "msecs": lambda r: str(int(r.duration * 1000)),
    "micros": lambda r: str(int(r.duration * 1_000_000)),
    "ltime": _local,
    "ftime": _local,
    "ctime": lambda r: _ctime(int(r.started)),
    "core": lambda r: str(r.core),
    "switches": lambda _: "1",
    "modifier1": lambda _: "0",
    "modifier2": lambda _: "0",
    "vsz": lambda _: str(_memory_pages(0)),
    "rss": lambda _: str(_memory_pages(1)),
    "vszM": lambda _: str(_memory_pages(0) >> 20),
    "rssM": lambda _: str(_memory_pages(1) >> 20),
    "werr": lambda r: str(int(r.write_failed)),
    "rerr": lambda r: str(int(r.read_failed)),
    "ioerr": lambda r: str(r.write_failed + r.read_failed),
}
