"""SQL as a report shows it, and what becomes of a connection whose request ran out of time: SQLAlchemy's.

The listeners are those of all engines, also of engines that are made later. Without a request whose middleware takes
notes they cost a look each. The counterpart of django_integration/databases.py.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from time import monotonic, sleep
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from uwsgi_deploy import Call, HarakiriTimeout, RequestNotes, cancel_statement, current_notes

CALL = "uwsgi_deploy_call"
CONNECT = "(connect)"
# How long a statement that is stopped from another thread waits for that, seconds; the same as for the database server.
CANCEL_TIMEOUT = 1.5

logger = logging.getLogger("uwsgi.harakiri")


def watch() -> None:
    """Note statements of all engines from now on. Calling it again is harmless."""
    for target, name, listener in (
        (Engine, "before_cursor_execute", begin_statement),
        (Engine, "after_cursor_execute", end_statement),
        (Engine, "handle_error", fail),
        (Engine, "do_connect", begin_connect),
        (Pool, "connect", end_connect),
        (Pool, "checkin", check_in),
    ):
        if not event.contains(target, name, listener):
            event.listen(target, name, listener)


def begin_statement(connection: Connection, cursor: Any, statement: str, _values: Any, context: Any, _: bool) -> None:
    """A statement goes to the database."""
    notes = current_notes()
    if notes is not None:
        target = _target(connection.dialect, connection.engine.url.database)
        call = Call("database", target, statement, monotonic(), stop=partial(_stop, cursor))
        setattr(context, CALL, notes.begin(call))


def end_statement(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
    """It came back; its rows may still have to be fetched."""
    _end(current_notes(), vars(context).pop(CALL, None))


def fail(context: ExceptionContext) -> None:
    """A statement failed, or a connection could not be made; a timeout ends the statement in the database, too.

    SQLAlchemy itself throws away the connection of a statement that was interrupted, but leaves the statement running.
    """
    notes = current_notes()
    if isinstance(context.original_exception, HarakiriTimeout):
        pooled = None if context.connection is None else context.connection.connection
        try:
            cancel_statement(getattr(pooled, "dbapi_connection", None))
        except Exception:
            logger.warning("A statement could not be cancelled", exc_info=True)
    if context.execution_context is not None:
        _end(notes, vars(context.execution_context).pop(CALL, None))
    elif notes is not None and context.connection is None:
        _end(notes, next((call for call in notes.running if call.text == CONNECT), None))


def begin_connect(dialect: Any, record: ConnectionPoolEntry, _arguments: Any, parameters: dict[str, Any]) -> None:
    """A new connection is asked for."""
    notes = current_notes()
    if notes is not None:
        target = _target(dialect, parameters.get("dbname") or parameters.get("database"))
        record.info[CALL] = notes.begin(Call("database", target, CONNECT, monotonic()))


def end_connect(_driver: Any, record: ConnectionPoolEntry) -> None:
    """It is there."""
    _end(current_notes(), record.info.pop(CALL, None))


def check_in(_driver: Any, record: ConnectionPoolEntry) -> None:
    """A connection comes back. One whose request was interrupted does so while that request is being left (Flask's
    teardown functions, `with Session()`): who knows in the middle of what it was. The pool makes a new one."""
    timeout = sys.exc_info()[1]
    if isinstance(timeout, HarakiriTimeout):
        record.invalidate(timeout)


def _end(notes: RequestNotes | None, call: Call | None) -> None:
    if notes is None or call is None:
        return
    if call in notes.running:
        notes.end(call, monotonic())
    until = monotonic() + CANCEL_TIMEOUT
    while call.halting and monotonic() < until:
        sleep(0.01)  # what stops this statement must not come to the next one


def _stop(cursor: Any) -> None:
    """End a cursor's statement, from another thread, with drivers that can."""
    driver: Any = getattr(cursor, "connection", None)
    if driver is not None and hasattr(driver, "interrupt"):  # sqlite3
        driver.interrupt()
    else:
        cancel_statement(driver)


def _target(dialect: Any, database: str | None) -> str:
    """`shop (postgresql)`, as Django's adapter says it of an alias."""
    return f"{database or 'database'} ({dialect.name})"
