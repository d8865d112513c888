"""W005 and W006: databases that this server could ask for too much, and drivers that block greenlets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.test.utils import override_settings

from django_integration import database_checks
from tests.support.postgres import cluster, missing
from tests.support.server import APPS, REPOSITORY

POSTGRES = "django.db.backends.postgresql"


@pytest.fixture(autouse=True)
def no_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "WEB_CONCURRENCY", "DYNO"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The database drivers that can be imported."""
    names = {"psycopg"}
    monkeypatch.setattr(database_checks, "_is_installed", lambda name: name in names)
    monkeypatch.delitem(sys.modules, "MySQLdb", raising=False)
    return names


def found(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], **database: Any) -> list[CheckMessage]:
    """What is said about this server and this database."""
    monkeypatch.setattr(settings, "DATABASES", {"default": {"ENGINE": POSTGRES, **database}})
    with override_settings(UWSGI=options):
        return run_checks(tags=["uwsgi"])


@pytest.mark.parametrize(
    ("options", "database", "wanted"),
    [
        ({}, {}, 0),
        ({"processes": 4, "threads": 24}, {}, 0),
        ({"processes": 7, "threads": 14}, {}, 98),
        ({"processes": 2, "gevent": 100}, {}, 200),
        ({"processes": 2, "gevent": 100}, {"CONN_MAX_AGE": 60}, 200),
        ({"processes": 2, "gevent": 100}, {"PORT": 6432}, 0),  # PgBouncer
        ({"processes": 2, "gevent": 100}, {"ENGINE": "django.db.backends.sqlite3"}, 0),
        ({"processes": 2, "gevent": 100}, {"OPTIONS": {"pool": True}}, 0),
        ({"processes": 2, "gevent": 100}, {"OPTIONS": {"pool": {"min_size": 2, "max_size": 20}}}, 0),
        ({"processes": 9, "gevent": 100}, {"OPTIONS": {"pool": {"min_size": 2, "max_size": 20}}}, 180),
        ({"processes": 50, "threads": 2}, {"OPTIONS": {"pool": {"max_size": 20}}}, 100),
        ({"processes": 151}, {"ENGINE": "django.db.backends.mysql"}, 0),
        ({"processes": 152}, {"ENGINE": "django.db.backends.mysql"}, 152),
        ({"gevent": 98}, {"ENGINE": "django_prometheus.db.backends.postgresql"}, 98),
        ({"gevent": 98}, {"ENGINE": "django.contrib.gis.db.backends.postgis"}, 98),
    ],
)
def test_connections(
    options: dict[str, Any],
    database: dict[str, Any],
    wanted: int,
    monkeypatch: pytest.MonkeyPatch,
    installed: set[str],
) -> None:
    """W005 says how many there could be; 97 of PostgreSQL's 100 are for applications."""
    messages = found(monkeypatch, options, **database)
    assert [message.id for message in messages] == (["uwsgi.W005"] if wanted else [])
    if wanted:
        assert messages[0].msg.startswith(f"Up to {wanted} connections to the database 'default' (")


def test_declared_limit(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> None:
    """The project knows better, in both directions, and also behind a pooler."""
    with override_settings(UWSGI_DATABASE_LIMITS={"default": 400, "other": 1}):
        assert found(monkeypatch, {"gevent": 400}) == []
        (message,) = found(monkeypatch, {"gevent": 401}, PORT="6432")
    assert "which has 400 (settings.UWSGI_DATABASE_LIMITS)" in message.msg
    assert message.hint is not None
    assert "OPTIONS['pool']" in message.hint


def test_wrong_options_are_told_once(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> None:
    assert [message.id for message in found(monkeypatch, {"gevent": "many"})] == ["uwsgi.E002"]


@pytest.mark.parametrize(
    ("engine", "drivers", "blocks"),
    [
        (POSTGRES, {"psycopg"}, ""),
        (POSTGRES, {"psycopg", "psycopg2"}, ""),
        (POSTGRES, {"psycopg2"}, "psycopg2"),
        (POSTGRES, {"psycopg2", "psycogreen"}, ""),
        ("django.contrib.gis.db.backends.postgis", {"psycopg2"}, "psycopg2"),
        ("django.db.backends.mysql", {"MySQLdb"}, "mysqlclient"),
        ("django.db.backends.mysql", set(), ""),
        ("django.db.backends.oracle", {"oracledb", "cx_Oracle"}, ""),
        ("django.db.backends.oracle", {"cx_Oracle"}, "cx_Oracle"),
        ("mssql", {"pyodbc"}, "pyodbc"),
        ("django.db.backends.sqlite3", set(), ""),
    ],
)
def test_drivers(
    engine: str, drivers: set[str], blocks: str, monkeypatch: pytest.MonkeyPatch, installed: set[str]
) -> None:
    """W006, with gevent only."""
    installed.clear()
    installed.update(drivers)
    assert found(monkeypatch, {"threads": 4}, ENGINE=engine) == []
    messages = found(monkeypatch, {"gevent": 10}, ENGINE=engine)
    assert [message.id for message in messages] == (["uwsgi.W006"] if blocks else [])
    assert all(f": {blocks} waits" in message.msg for message in messages)


def test_pymysql_in_the_place_of_mysqlclient(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> None:
    """pymysql.install_as_MySQLdb()"""
    installed.add("MySQLdb")
    monkeypatch.setitem(sys.modules, "MySQLdb", ModuleType("pymysql"))
    assert found(monkeypatch, {"gevent": 10}, ENGINE="django.db.backends.mysql") == []


def check(database: dict[str, Any], *arguments: str) -> str:
    """What `manage.py check` says of a project with 2 workers of 40 greenlets."""
    script = (
        "import os, sys\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'green_django.settings'\n"
        "from green_django import settings\n"
        "settings.INSTALLED_APPS = ['green_django', 'django_integration']\n"
        "settings.UWSGI = {'processes': 2, 'gevent': 40}\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', 'check', *sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={"PYTHONPATH": f"{REPOSITORY}:{APPS}", "PATH": "/usr/bin:/bin", "GREEN_DATABASE": json.dumps(database)},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path("/"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_asking_the_database() -> None:
    """`--database` compares with what the server really allows."""
    if reason := missing():
        pytest.skip(reason)
    with cluster(max_connections=20) as small, small.database() as database:
        assert "uwsgi.W005" not in check(database.django)
        assert "which has 17 (it was asked" in check(database.django, "--database", "default")


def test_a_database_that_cannot_be_asked() -> None:
    """That is for Django's own checks; what is known without asking counts."""
    nowhere = {"ENGINE": POSTGRES, "HOST": "127.0.0.1", "PORT": "1", "NAME": "nothing"}
    assert "uwsgi.W005" not in check(nowhere, "--tag", "uwsgi", "--database", "default")
