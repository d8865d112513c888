"""What ends a request that takes too long, and a worker whose application fails in a way that it names."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class HarakiriSettings:
    """What ends a request that takes too long, and a worker whose application fails in a way that it names."""

    harakiri: Seconds = option(
        0.0, "-t", help="Seconds a request may run before its worker is killed and replaced; 0 means no limit."
    )
    harakiri_verbose: bool = option(
        False, help="Log where in the kernel a killed worker was (/proc/PID/syscall, wchan)."
    )
    harakiri_graceful_timeout: Seconds = option(
        0.0, help="Send harakiri-graceful-signal first, and kill the worker only after this many more seconds."
    )
    harakiri_graceful_signal: int = option(
        15, help="Signal for harakiri-graceful-timeout; 15 lets the worker's other requests end and take no new ones."
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
