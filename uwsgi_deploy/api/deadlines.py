"""How long a request may run, as its own code says it: `deadline()`, `@harakiri`, `extend_deadline()` and the rest.

All of it is about the request that the calling thread or greenlet runs. Elsewhere (in another thread, under another
server, in tests) nothing happens, so that code may use it wherever it runs. When the time is over the server raises
`HarakiriTimeout` in the middle of the application's code.

The server says with `install` who does it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

from uwsgi_deploy.errors import HarakiriTimeout

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Callback = TypeVar("_Callback", bound=Callable[[], object])


class Control(Protocol):
    """What a worker does about the request that runs here; each method is without effect where none does."""

    def limit(self, seconds: float | None, origin: str) -> None:
        """The request may run so long, from its begin; None: as long as it likes."""

    def extend(self, seconds: float) -> None:
        """So much longer than its limit, or from now on if that is over."""

    def set_user_limit(self, seconds: float) -> bool:
        """So long from now on, beside its other limits; 0 takes it back. False: no request runs here."""

    def enter(self, seconds: float) -> object:
        """A block begins that may take so long; what `leave` wants."""

    def leave(self, block: object) -> None:
        """The block is over."""

    def name_route(self, environ: dict[str, Any], route: str, name: str) -> None:
        """What the framework calls the request."""

    def timed_out(self) -> None:
        """Somebody caught HarakiriTimeout and answers."""


_control: Control | None = None
on_timeout_callbacks: list[Callable[[], object]] = []
"""What `on_timeout` registered; the server calls each, and logs what it raises."""


def install(control: Control | None) -> None:
    """This process is a worker, and `control` acts in it."""
    global _control
    _control = control


class deadline:  # noqa: N801 - used as a function
    """`with deadline(5): ...`: what is inside may take five seconds, then `HarakiriTimeout` is raised there.

    Of several limits the nearest counts. Who catches the exception outside of the block goes on with the request, and
    who does not catch it ends the request with 504. An instance is used once at a time.
    """

    __slots__ = ("_block", "_seconds")

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline is a positive number of seconds, not {seconds!r}")
        self._seconds = seconds
        self._block: object = None

    def __enter__(self) -> deadline:
        if _control is not None:
            self._block = _control.enter(self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        if _control is not None and block is not None:
            try:
                _control.leave(block)
            except HarakiriTimeout:  # it came at this very moment: the block must not stay
                _control.leave(block)
                raise


def harakiri(
    seconds: float | None,
) -> Callable[[Callable[_Parameters, _Result]], Callable[_Parameters, _Result]]:
    """Decorate a view: a request that calls it may run for `seconds`, counted from its begin; None: without limit.

    This takes the place of the `harakiri` option until the request is over, its stream included.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"a limit is a positive number of seconds, or None, not {seconds!r}")

    def decorate(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        @wraps(function)
        def limited(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
            if _control is not None:
                _control.limit(seconds, "@harakiri")
            return function(*args, **kwargs)

        return limited

    return decorate


def extend_deadline(seconds: float) -> None:
    """Let the present request run for `seconds` more than its limit allows; if that is over, from now on."""
    if _control is not None:
        _control.extend(seconds)


def set_user_limit(seconds: float) -> bool:
    """For `uwsgi.set_user_harakiri`: see `Control`."""
    return _control is not None and _control.set_user_limit(seconds)


def set_route(environ: dict[str, Any], *, route: str = "", name: str = "") -> None:
    """For middlewares, when a URL is resolved: what the framework calls this kind of request.

    route: the pattern, for status and reports. name: the URL name or endpoint. A limit that `harakiri-routes` gives to
    either of them is applied.
    """
    if _control is not None:
        _control.name_route(environ, route, name)


def on_timeout(callback: _Callback) -> _Callback:
    """Have `callback()` called after each request that ran out of time, by the thread or greenlet that ran it.

    For what must not be used again after an interruption in its middle, such as a database connection. Call it once
    per process or application, or use it as a decorator; what is registered twice is called once.
    """
    if callback not in on_timeout_callbacks:
        on_timeout_callbacks.append(callback)
    return callback


def timed_out() -> None:
    """For middlewares that catch `HarakiriTimeout` and answer themselves: the request is not interrupted any more.

    Calls what `on_timeout` registered. The answer, with status 504, is returned as any other; it has
    `harakiri-graceful-timeout` seconds.
    """
    if _control is not None:
        _control.timed_out()
