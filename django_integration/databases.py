"""SQL as a report shows it, and what becomes of a connection whose request ran out of time.

Queries are noted by one function in `execute_wrappers` of each connection (Django's `connection.execute_wrapper`), put
there when the connection is opened: per request nothing is installed or removed, and queries of a response that streams
are seen, too. It stands below the wrappers of others, whose context managers take the last one off the list again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from select import select
from time import monotonic, sleep
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from uwsgi_deploy import Call, HarakiriTimeout, current_notes, on_timeout

CANCEL_TIMEOUT = 1.0
"""Seconds that the database server has for the cancellation of a statement."""

logger = logging.getLogger("uwsgi.harakiri")


def watch() -> None:
    """Note the queries of all connections that are opened from now on, and close them after a timeout."""
    connection_created.connect(_watch_connection, dispatch_uid="uwsgi_deploy")
    on_timeout(discard_connections)


def _watch_connection(connection: Any, **_facts: Any) -> None:
    if note_query not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, note_query)


def note_query(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Run a query between two notes. A statement that a timeout interrupts is stopped in the database server, too."""
    notes = current_notes()
    if notes is None:
        return execute(sql, params, many, context)
    connection = context["connection"]
    text = sql if type(sql) is str else str(sql)  # psycopg's composed statements
    target, end = f"{connection.alias} ({connection.vendor})", partial(stop_elsewhere, connection.connection)
    call = notes.begin(Call("database", target, text, monotonic(), stop=end))
    try:
        return execute(sql, params, many, context)
    except HarakiriTimeout:
        interrupted(connection)
        raise
    finally:
        notes.end(call, monotonic())
        if call.halting:
            _wait_while_halting(call)


def discard_connections() -> None:
    """Close every connection of this thread or greenlet: who knows in the middle of what they were interrupted.

    Never raises an Exception. An interrupted transaction is rolled back by the database when its connection ends.
    """
    for connection in connections.all(initialized_only=True):
        discard(connection)
        if connection.in_atomic_block and connections[connection.alias] is connection and _ended(connection):
            # Interrupted on the way out of transaction.atomic(): nothing will leave that block any more.
            del connections[connection.alias]


def interrupted(connection: Any) -> None:
    """A query was left in the middle: stop it, so that what unwinds (a rollback, above all) finds a connection to use.

    It is not closed here: Django's code on the way out would fail on a closed one, and hide the timeout.
    """
    connection.errors_occurred = True  # look whether it works before the next request uses it
    try:
        stop(connection.connection)
    except Exception:
        logger.warning("A statement of the connection %r could not be cancelled", connection.alias, exc_info=True)


def discard(connection: Any) -> None:
    """Stop what a connection still executes, and close it."""
    if connection.connection is None:
        return
    try:
        stop(connection.connection)
        connection.close()
    except Exception:
        logger.warning("The connection %r could not be closed", connection.alias, exc_info=True)
        connection.connection = None


def _ended(connection: Any) -> bool:
    """Whether there is nothing to be lost with this object: a database in memory ends with its connection."""
    return connection.connection is None or bool(connection.closed_in_transaction)


def stop(driver: Any) -> None:
    """Have PostgreSQL end the running statement, and wait for that; with psycopg 3, in the thread that uses it.

    psycopg does this itself for KeyboardInterrupt, not for exceptions that it does not know. Other drivers do not come
    back from the middle of a statement, or cannot cancel it: the database finds out when it has something to send.
    """
    if not _is_executing(driver):
        return
    cancel_safe = getattr(driver, "cancel_safe", None)
    if cancel_safe is not None:
        cancel_safe(timeout=CANCEL_TIMEOUT)
    else:
        driver.cancel()
    pgconn = driver.pgconn
    deadline = monotonic() + CANCEL_TIMEOUT
    while monotonic() < deadline:
        if pgconn.is_busy():
            select([pgconn.socket], [], [], 0.1)
            pgconn.consume_input()
        elif pgconn.get_result() is None:
            return


def stop_elsewhere(driver: Any) -> None:
    """As `stop`, for a connection that another thread waits for in C code; SQLite, psycopg, oracledb can do it."""
    if hasattr(driver, "cancel_safe"):
        driver.cancel_safe(timeout=CANCEL_TIMEOUT)
    elif hasattr(driver, "interrupt"):
        driver.interrupt()
    elif hasattr(driver, "cancel"):
        driver.cancel()


def _wait_while_halting(call: Call) -> None:
    """What ends this statement must not end the next one."""
    deadline = monotonic() + 2 * CANCEL_TIMEOUT
    while call.halting and monotonic() < deadline:
        sleep(0.001)


def _is_executing(driver: Any) -> bool:
    """Whether it is a connection of psycopg 3 in the middle of a statement."""
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    return getattr(status, "name", "") == "ACTIVE" and hasattr(driver, "pgconn")
