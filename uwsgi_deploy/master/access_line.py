"""The request line of a request whose worker cannot write it: as in `logs.access`, of what the scoreboard knows.

What is not known there is `-` in a log-format, and 0 or `-` in uWSGI's line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.access import ProcessFacts, compile_format, default_format
from uwsgi_deploy.logs.record import RequestRecord
from uwsgi_deploy.protocol.messages import Facts
from uwsgi_deploy.shared.scoreboard import RunningRequest

# Fields of a log-format that need what only the worker has.
_UNKNOWN = re.compile(
    r"%\((?:user|proto|host|uagent|referer|cl|vars|pktsize|vsz|rss|vszM|rssM|"
    r"var\.(?!REQUEST_METHOD\)|REQUEST_URI\)|REMOTE_ADDR\))[^)]*)\)"
)
_NO_FACTS = Facts(False, False, False, 0, 0)


@dataclass(slots=True)
class Given:
    """An answer, for the log; sizes in bytes."""

    status: int
    sent_body: int = 0
    head_size: int = 0
    header_count: int = 0
    via_sendfile: bool = False

    @classmethod
    def of(cls, status: int, data: bytes) -> Given:
        """A whole response."""
        head, _, body = data.partition(b"\r\n\r\n")
        return cls(status, len(body), len(head) + 4, head.count(b"\r\n"))


def is_wanted(settings: Settings, status: int, duration: float) -> bool:
    """Whether a request is logged (disable-logging, log-4xx, log-5xx, log-slow); duration in seconds."""
    logs = settings.logs
    if logs.log_requests or (logs.log_5xx and status >= 500):
        return True
    return bool(logs.log_slow) and duration * 1000 >= logs.log_slow


def line(
    settings: Settings,
    process: ProcessFacts,
    request: RunningRequest,
    answer: Given,
    *,
    core: int,
    started: float,
    duration: float,
    counts: tuple[int, int],
) -> str:
    """The line. started: unix time; duration in seconds; counts: requests of the worker and of the server so far."""
    logs = settings.logs
    compile_line: Callable[[RequestRecord], str]
    if logs.log_format:
        template = _UNKNOWN.sub("-", logs.log_format)
        compile_line = compile_format(template, process, x_forwarded_for=logs.log_x_forwarded_for)
    else:
        compile_line = default_format(process, micros=logs.log_micros, x_forwarded_for=logs.log_x_forwarded_for)
    environ = {
        "REMOTE_ADDR": request.address,
        "REQUEST_METHOD": request.method,
        "REQUEST_URI": request.uri,
        "SERVER_PROTOCOL": "-",
    }
    record = RequestRecord(environ, _NO_FACTS, answer, started, duration, core, *counts, False, False)
    return compile_line(record)
