"""A Flask application with the extension and views that take too long. DATABASE_URL: for /db; PAGE: handle 504."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import requests
from flask import Blueprint, Flask, Response
from flask_login import LoginManager, UserMixin, current_user
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from flask_integration import Uwsgi, request_timed_out
from uwsgi_deploy import HarakiriTimeout, deadline, harakiri

app = Flask("late")
app.secret_key = "not a secret"
app.config["UWSGI"] = {
    "harakiri": 1,
    "harakiri-graceful-timeout": 2,
    "harakiri-dir": "reports",
    "harakiri-routes": {"exports.big": 30, "exports.none": "off"},
}
app.config["UWSGI_NOTE_CALLS"] = "http"
logins = LoginManager(app)
exports = Blueprint("exports", __name__, url_prefix="/exports")
engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///shop.db"), pool_size=1, max_overflow=0)
session = scoped_session(sessionmaker(engine))
torn_down: list[str] = []
# What no report may show; not a word of this file, whose lines are shown.
SECRET = "-".join(("s3cr3t", "value"))


class User(UserMixin):
    id = "7"


@logins.request_loader
def load(request: Any) -> User:
    user = User()
    user.id = "7"
    return user


@app.teardown_appcontext
def leave(error: BaseException | None) -> None:
    torn_down.append(type(error).__name__)
    session.remove()


def wait_in_python() -> None:
    """What can be interrupted in every thread; a long sleep only in the main one."""
    while True:
        time.sleep(0.02)


@app.get("/hang/<int:number>")
def hang(number: int) -> str:
    assert current_user.id == "7"
    wait_in_python()
    return "late"


@app.get("/db")
def database() -> str:
    session.execute(text("SELECT 1"))
    session.execute(text(f"SELECT pg_sleep(60), '{SECRET}'"))
    return "late"


@app.get("/locked")
def locked() -> str:
    session.execute(text("INSERT INTO item VALUES (2)"))
    return "late"


@app.get("/pid")
def pid() -> str:
    return str(session.execute(text("SELECT pg_backend_pid()")).scalar())


@app.get("/http/<int:port>")
def http(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/prices?key={SECRET}", timeout=60).text


@app.get("/stream")
def stream() -> Response:
    def blocks() -> Iterator[str]:
        yield "first"
        wait_in_python()
        yield "second"

    return Response(blocks())


@app.get("/limited")
@harakiri(3)
def limited() -> str:
    time.sleep(1.6)
    return "in time"


@app.get("/caught")
def caught() -> str:
    try:
        with deadline(0.2):
            wait_in_python()
    except HarakiriTimeout:
        return "caught"
    return "late"


@app.get("/torn-down")
def teardowns() -> list[str]:
    return torn_down


@exports.get("/big")
def big() -> str:
    time.sleep(1.6)
    return "whole"


@exports.get("/none")
def none() -> str:
    time.sleep(1.6)
    return "whole"


@exports.get("/small")
def small() -> str:
    wait_in_python()
    return "late"


app.register_blueprint(exports)
Uwsgi(app)


@request_timed_out.connect_via(app)
def tell(sender: Flask, report: dict[str, Any]) -> None:
    with open("signals", "a") as file:
        file.write(json.dumps([sender.name, report["id"], report["request"]["route"]]) + "\n")


if os.environ.get("PAGE"):

    @app.errorhandler(504)
    def sorry(error: object) -> tuple[str, int]:
        return "our own page", 504
