"""What is done about an application's exceptions: the log gets them, clients may, and the worker may have to go."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.protocol.messages import Environ

Report: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """Which exceptions a worker is replaced for: all, or by class (`ValueError`, `shop.errors.Broken`), by text, or by
    both (`ValueError: no such thing`)."""

    every: bool = False
    types: frozenset[str] = field(default_factory=frozenset)
    values: frozenset[str] = field(default_factory=frozenset)
    reprs: frozenset[str] = field(default_factory=frozenset)

    def apply_to(self, error: BaseException) -> bool:
        """Whether `error` is one of them."""
        if self.every:
            return True
        kind, text = type(error), _text(error)
        names = (kind.__name__, kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}")
        return (
            not self.types.isdisjoint(names)
            or text in self.values
            or any(f"{name}: {text}" in self.reprs for name in names)
        )


def rules_of(settings: HarakiriSettings) -> Rules:
    """The rules that the options make."""
    return Rules(
        settings.reload_on_exception,
        frozenset(settings.reload_on_exception_type),
        frozenset(settings.reload_on_exception_value),
        frozenset(settings.reload_on_exception_repr),
    )


class Failures:
    """See the module. report: takes tracebacks, one text each; condemn: is told why the worker has to be replaced.

    shown: whether clients see tracebacks (catch-exceptions).
    """

    __slots__ = ("_condemn", "_rules", "report", "shown")

    def __init__(
        self, report: Report, *, rules: Rules | None = None, condemn: Report | None = None, shown: bool = False
    ):
        self.report, self.shown = report, shown
        self._rules, self._condemn = rules, condemn

    def note(self, error: BaseException, environ: Environ) -> None:
        """The application raised this instead of answering, or in the middle of its answer."""
        self.report(describe(error, environ, "the application failed"))
        if self._rules is not None and self._condemn is not None and self._rules.apply_to(error):
            self._condemn(f"exception {type(error).__name__}: {_text(error)}")

    def page(self, error: BaseException, environ: Environ) -> str | None:
        """What the client sees of an exception, if anything."""
        if not self.shown:
            return None
        return (
            f'uwsgi-deploy exceptions catcher for "{_request(environ)}"\n\n'
            f"Exception class: {type(error).__qualname__}\n\nException message: {_text(error)}\n\n"
            f"Backtrace:\n{_traceback(error)}\n"
        )


def describe(error: BaseException, environ: Environ, what: str) -> str:
    """A traceback for the log, with the request it belongs to; frames of the server are left out."""
    return f"{what}: {environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')!r}\n{_traceback(error)}"


def _traceback(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("uwsgi_deploy."):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace or error.__traceback__)).rstrip()


def _request(environ: Environ) -> str:
    return f"{environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')}"


def _text(error: BaseException) -> str:
    """`str(error)`, which is the application's code and may fail itself."""
    try:
        return str(error)
    except Exception:
        return ""
