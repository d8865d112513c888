"""What ends a request that takes too long, and a worker whose application fails in a way that it names."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class HarakiriSettings:
    """What ends a request that takes too long, and a worker whose application fails in a way that it names."""

    harakiri: Seconds = option(
        60.0, "-t", help="Seconds a request may run before it is ended and answered with 504; 0 means no limit."
    )
    soft_harakiri: Seconds = option(
        0.0, help="Report a request that runs longer than this many seconds, and let it go on; 0 means never."
    )
    harakiri_routes: tuple[str, ...] = option(
        (),
        help="PATTERN=SECONDS or PATTERN=off: another limit for some requests, by ^PATH (a regular expression), "
        "URL name or endpoint; the first that fits counts.",
    )
    harakiri_verbose: bool = option(
        False, help="Log where in the kernel a killed worker was (/proc/PID/syscall, wchan)."
    )
    harakiri_graceful_timeout: Seconds = option(
        5.0, help="Seconds from a request's deadline until its worker is given up, if the request does not end."
    )
    harakiri_graceful_signal: int = option(
        0, help="Signal that a worker gets at a request's deadline; 0 sends none: the request is interrupted anyway."
    )
    harakiri_no_arh: bool = option(
        False,
        "no-harakiri-arh",
        "no-harakiri-after-req-hook",
        help="Leave the time that uwsgi.after_req_hook takes out of the limit.",
    )
    harakiri_queue_threshold: int = option(
        0, help="Leave stuck workers alone while fewer clients than this wait in the listen queue."
    )
    reload_on_exception: bool = option(False, help="Replace a worker whose application raised an exception.")
    reload_on_exception_type: tuple[str, ...] = option(
        (), help="Replace a worker for exceptions of this class: 'ValueError', 'shop.errors.Broken'."
    )
    reload_on_exception_value: tuple[str, ...] = option((), help="Replace a worker for exceptions with this text.")
    reload_on_exception_repr: tuple[str, ...] = option(
        (), help="Replace a worker for this exception: 'ValueError: no such thing'."
    )
    catch_exceptions: bool = option(
        False, help="Answer with the traceback when the application fails; every client can read your code then."
    )
