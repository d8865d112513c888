"""What is logged, where, and in which form."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Bytes, Milliseconds


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log: one stream, standard error unless `logto` names a file."""

    log_requests: bool = option(True, inverse=("disable-logging", "-L"), help="Write a line for every request.")
    logto: str = option("", help="Append the log to this file instead of standard error.")
    logto2: str = option("", help="As logto, opened after privileges were dropped and the directory was changed.")
    log_truncate: bool = option(False, help="Empty the log file at the start; a reload does not.")
    log_maxsize: Bytes = option(
        0, help="Rotate the log file when it is larger (looked at once a second); 0 means never."
    )
    log_backupname: str = option("", help="Where a rotation puts the log file; empty means its name and the time.")
    log_4xx: bool = option(False, help="With disable-logging: still log responses with status 4xx.")
    log_5xx: bool = option(False, help="With disable-logging: still log responses with status 5xx.")
    log_slow: Milliseconds = option(0, help="With disable-logging: still log requests slower than this.")
    log_format: str = option("", "logformat", help="Form of a request line, with %(name) fields; empty means uWSGI's.")
    log_micros: bool = option(False, help="Write request durations in microseconds in the default line.")
    log_x_forwarded_for: bool = option(False, help="Log X-Forwarded-For in place of the peer's address.")
