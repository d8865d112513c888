"""Limits and deadlines of requests and responses; each has a status code that answers it."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What a client may send, and how long it may take."""

    buffer_size: Bytes = option(65536, "-b", help="Largest request head (request line and headers); beyond it 431.")
    max_request_line: Bytes = option(16384, help="Longest request line; beyond it 414.")
    max_request_headers: int = option(256, "max-vars", "-v", help="Most header fields in a request; beyond it 431.")
    post_buffering: Bytes = option(
        262144,
        help="Request bodies up to this size are read into memory before the application runs, larger ones into a "
        "temporary file; 0 lets the application read from the client.",
    )
    limit_post: Bytes = option(0, help="Largest request body; beyond it 413; 0 means no limit.")
    http_keepalive_timeout: Seconds = option(
        75.0, help="How long an idle connection is kept for its next request; 0 closes after each response."
    )
    header_timeout: Seconds = option(15.0, help="How long a client may take to send a request head; beyond it 408.")
    body_timeout: Seconds = option(
        30.0, "socket-timeout", "-z", help="How long a request body may pause; beyond it 408."
    )
    send_timeout: Seconds = option(
        60.0,
        "so-send-timeout",
        "so-write-timeout",
        "socket-send-timeout",
        "socket-write-timeout",
        help="How long a client may take no byte of its response before the connection is cut.",
    )
    ignore_sigpipe: bool = option(True, help="Do not log that a client closed its connection while it was answered.")
    ignore_write_errors: bool = option(True, help="Do not log failed writes to clients.")
    disable_write_exception: bool = option(
        False, help="Do not raise OSError from write() into the application when the client is gone."
    )
    wsgi_disable_file_wrapper: bool = option(False, help="Do not offer wsgi.file_wrapper to the application.")
