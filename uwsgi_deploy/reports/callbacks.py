"""Who in the application wants to be told of each report: the framework adapters' signals, and users' own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

Callback: TypeAlias = Callable[[dict[str, Any]], object]
"""Takes a report (docs/harakiri-report.md), which it must not change."""

AnyCallback = TypeVar("AnyCallback", bound=Callback)

_callbacks: list[Callback] = []


def on_report(callback: AnyCallback) -> AnyCallback:
    """Have `callback` called with each report that is made in this process, and with those of killed workers before it.

    Also a decorator. It runs in a thread of its own (under gevent: a greenlet), not in the request's, and may take ten
    seconds; what it raises is logged. A second call with the same function changes nothing. Outside of the server
    there are no reports.
    """
    if callback not in _callbacks:
        _callbacks.append(callback)
    return callback


def callbacks() -> tuple[Callback, ...]:
    """All of them, in the order in which they came."""
    return tuple(_callbacks)
