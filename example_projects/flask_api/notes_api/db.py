"""One SQLite connection per request, opened when it is first used and closed with the request.

Nothing is kept open when the factory returns: the server loads the application once and forks its workers, and an
SQLite connection must not be used on both sides of a fork.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from flask import current_app, g


def connect(app):
    connection = sqlite3.connect(app.config["DATABASE"], timeout=20)
    connection.row_factory = sqlite3.Row
    return connection


def get_db():
    if "db" not in g:
        g.db = connect(current_app)
    return g.db


def close_db(_error=None):
    connection = g.pop("db", None)
    if connection is not None:
        connection.close()


def init_app(app):
    app.teardown_appcontext(close_db)
    Path(app.config["DATABASE"]).parent.mkdir(parents=True, exist_ok=True)
    with app.open_resource("schema.sql", "r") as schema, closing(connect(app)) as connection:
        connection.executescript(schema.read())
