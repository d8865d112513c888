"""System checks about databases: do they have as many connections as this server may want, and do drivers cooperate?

W005  The server's cores could open more connections than the database allows.
W006  With gevent: a database driver that holds up all requests of its worker while it waits.

Nothing is asked of a database, but with `manage.py check --tag uwsgi --database default` its real limit is.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections

from django_integration import conf
from uwsgi_deploy.errors import ConfigError

LIMITS_SETTING = "UWSGI_DATABASE_LIMITS"
"""{"default": 400}: how many connections a database has for this project, where it is not what it comes with."""
# psycopg_pool's ConnectionPool(min_size=4, max_size=None): as many as at least.
_POOL_SIZE = 4
# PgBouncer's port. What it accepts says nothing about the server behind it, and is usually more than anybody needs.
_POOLER_PORT = "6432"


@dataclass(frozen=True, slots=True)
class Limit:
    """Connections that are to be had, and where the number is from."""

    connections: int
    origin: str


DEFAULTS = {
    # max_connections = 100, of which superuser_reserved_connections = 3 are not for applications.
    "postgresql": Limit(97, "PostgreSQL's default: max_connections = 100, less 3 that are reserved"),
    "postgis": Limit(97, "PostgreSQL's default: max_connections = 100, less 3 that are reserved"),
    "mysql": Limit(151, "MySQL's default: max_connections = 151"),
}


def check_connections(databases: Sequence[str] | None = None, **_options: Any) -> list[checks.CheckMessage]:
    """W005: each core that serves a request may hold a connection, with CONN_MAX_AGE also when it is idle."""
    try:
        fleet = conf.fleet(settings)
    except ConfigError:
        return []  # that is E002
    return [
        warning
        for alias, database in settings.DATABASES.items()
        for warning in _too_many(alias, database, fleet, ask=alias in (databases or ()))
    ]


def _too_many(
    alias: str, database: Mapping[str, Any], fleet: conf.Fleet, *, ask: bool
) -> Iterator[checks.CheckMessage]:
    limit = (_asked(alias) if ask else None) or _known(alias, database)
    pool = _pool(database)
    each = min(fleet.cores, pool) if pool else fleet.cores
    wanted = fleet.processes * each
    if limit is None or wanted <= limit.connections:
        return
    of_each = f"a pool of {pool}" if pool else f"{each} cores"
    yield checks.Warning(
        f"Up to {wanted} connections to the database {alias!r} ({fleet.processes} workers with {of_each} each), "
        f"which has {limit.connections} ({limit.origin}).",
        hint="Have fewer cores or workers, bound the connections of each worker with OPTIONS['pool'], or put a pooler "
        f"such as PgBouncer in between. If it has more, say so: {LIMITS_SETTING} = {{{alias!r}: …}}.",
        id="uwsgi.W005",
    )


def _known(alias: str, database: Mapping[str, Any]) -> Limit | None:
    """What the project says, or what this kind of database comes with."""
    declared = getattr(settings, LIMITS_SETTING, {}).get(alias)
    if declared is not None:
        return Limit(int(declared), f"settings.{LIMITS_SETTING}")
    if str(database.get("PORT", "")) == _POOLER_PORT:
        return None
    return next((limit for kind, limit in DEFAULTS.items() if kind in _engine(database)), None)


def _asked(alias: str) -> Limit | None:
    """The limit that a running PostgreSQL has."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('max_connections')::int"
                " - current_setting('superuser_reserved_connections')::int"
            )
            return Limit(cursor.fetchone()[0], "it was asked: max_connections less those that are reserved")
    except DatabaseError:
        return None  # Django's own database checks say so


def _pool(database: Mapping[str, Any]) -> int:
    """How many connections Django's own pool has in each worker; 0 without one."""
    pool = database.get("OPTIONS", {}).get("pool")
    if not pool:
        return 0
    sizes = pool if isinstance(pool, Mapping) else {}
    return int(sizes.get("max_size") or sizes.get("min_size") or _POOL_SIZE)


def check_drivers(**_options: Any) -> list[checks.CheckMessage]:
    """W006, and silence without gevent."""
    try:
        fleet = conf.fleet(settings)
    except ConfigError:
        return []
    if not fleet.gevent:
        return []
    return [
        checks.Warning(
            f"With gevent, a query to the database {alias!r} holds up all requests of its worker: {driver} waits "
            "without letting others run.",
            hint=hint,
            id="uwsgi.W006",
        )
        for alias, database in settings.DATABASES.items()
        for driver, hint in _blocking_driver(_engine(database))
    ]


def _blocking_driver(engine: str) -> Iterator[tuple[str, str]]:
    """The driver that Django would take for this engine, if it blocks, and what to do about it."""
    if "postgresql" in engine or "postgis" in engine:
        if not _is_installed("psycopg") and _is_installed("psycopg2") and not _is_installed("psycogreen"):
            yield "psycopg2", "Install psycopg (version 3), which cooperates, or psycogreen."
    elif "mysql" in engine:
        if not _is_pymysql() and _is_installed("MySQLdb"):
            yield "mysqlclient", "Use PyMySQL with pymysql.install_as_MySQLdb(), or threads instead of gevent."
    elif "oracle" in engine:
        if not _is_installed("oracledb") and _is_installed("cx_Oracle"):
            yield "cx_Oracle", "Use python-oracledb, whose thin mode cooperates."
    elif "mssql" in engine:
        yield "pyodbc", "Serve this project with threads instead of gevent."


def _is_pymysql() -> bool:
    """Whether PyMySQL stands in for mysqlclient in this process."""
    return getattr(sys.modules.get("MySQLdb"), "__name__", "") == "pymysql"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _engine(database: Mapping[str, Any]) -> str:
    return str(database.get("ENGINE", ""))
