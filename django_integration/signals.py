"""The signal `harakiri`: sent with each report of a request that took too long.

    from django.dispatch import receiver
    from django_integration.signals import harakiri

    @receiver(harakiri)
    def tell(sender, report, **kwargs):
        ...

`sender` is the module `uwsgi_deploy`; `report` is the report as a dictionary (docs/harakiri-report.md), whose `kind` is
`soft`, `deadline` or `hard`. Receivers run in the worker, in a thread of their own; those for a
worker that was killed run in its successor, with `report["delivered_late"]`. What they raise goes to the log
(`django.dispatch`) and keeps no other receiver from its report.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.dispatch import Signal

import uwsgi_deploy
from uwsgi_deploy import on_report

harakiri = Signal()


def connect() -> None:
    """Send the signal for each report that is made in this process."""
    on_report(send)


def send(report: dict[str, Any]) -> None:
    """Tell the receivers. They may use the database; their thread does not live on, and no connection of it does."""
    try:
        harakiri.send_robust(sender=uwsgi_deploy, report=report)
    finally:
        connections.close_all()
