"""Ends what a database server still does for a request that has been given up. For the framework adapters."""

from __future__ import annotations

from typing import Any

CANCEL_TIMEOUT = 1.0
"""Seconds that the database server has for the cancellation of a statement."""

# PQTRANS_ACTIVE: a command is in progress (libpq's PQtransactionStatus).
_ACTIVE = 1


def cancel_statement(driver: Any) -> None:
    """Cancel what a driver's connection executes at this moment; without effect when there is nothing.

    psycopg 3 does this itself for KeyboardInterrupt, not for exceptions that it does not know; psycopg2 never does.
    Other drivers' servers notice when the connection is closed, or when they write to it. Raises what the driver does.
    """
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status != _ACTIVE:
        return
    cancel_safe = getattr(driver, "cancel_safe", None)
    if cancel_safe is not None:
        cancel_safe(timeout=CANCEL_TIMEOUT)
    else:
        driver.cancel()
