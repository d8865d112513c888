"""The signals that reports send. The counterpart of django_integration/signals.py."""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

request_timed_out = _signals.signal(
    "request-timed-out",
    """A request of `sender`, an application with the Uwsgi extension, was ended because its time was over.

    report: the whole report, a dictionary as docs/harakiri-report.md describes it, with secrets redacted. Receivers run
    in a worker, in a thread of their own and an application context; for a worker that was killed in its successor,
    with `report["delivered_late"]`. What they raise goes to the log and keeps no other receiver from its report.
    """,
)

request_is_slow = _signals.signal(
    "request-is-slow",
    """A request of `sender` runs longer than `soft-harakiri`, or than a `deadline()` of its own, and goes on.

    report: as above, of that moment.
    """,
)
