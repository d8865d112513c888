"""What a sink is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uwsgi_deploy.reports.report import Report


@dataclass(frozen=True, slots=True)
class Sink:
    """Takes reports. name: for people; seconds: how long it may take for one before it is given no more; send: gives
    it a report, which it must not change, and a function that writes lines to the log; may raise anything."""

    name: str
    seconds: float
    send: Callable[[Report, Callable[[str], None]], object]
