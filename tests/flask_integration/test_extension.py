"""What the extension notes of a request, and what becomes of one whose time is over. In this process, without a server:
views raise what the server would have raised in them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Blueprint, Flask, abort, g
from flask.testing import FlaskClient
from flask.views import MethodView
from flask_login import LoginManager, UserMixin, current_user, login_user
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool
from werkzeug.exceptions import HTTPException
from werkzeug.test import Client, TestResponse

from flask_integration import Uwsgi, extension, request_timed_out
from flask_integration.extension import send_report
from flask_integration.middleware import SERVER
from flask_integration.signals import request_is_slow
from uwsgi_deploy import HarakiriTimeout, RequestNotes, current_notes

UNDER_THE_SERVER = {SERVER: b"2.0.31"}


class Stock(MethodView):
    def get(self) -> str:
        return "stock"


@pytest.fixture
def app() -> Flask:
    """An application with the extension, a blueprint, and a view that runs out of time."""
    app = Flask("shop_app")
    app.secret_key = "not a secret"
    shop = Blueprint("shop", __name__, url_prefix="/shop")

    @shop.get("/item/<int:number>")
    def item(number: int) -> str:
        return "item"

    @app.get("/late")
    def late() -> str:
        raise HarakiriTimeout(limit=2)

    app.register_blueprint(shop)
    app.add_url_rule("/stock", view_func=Stock.as_view("stock"))
    Uwsgi(app)
    return app


def ask(app: Flask, path: str, **headers: str) -> Any:
    """As the server asks. Werkzeug's client takes every start_response with exc_info for one that comes too late."""
    application = app.wsgi_app

    def server(environ: Any, start_response: Any) -> Any:
        heads: list[Any] = []
        blocks = list(application(environ, lambda status, headers, reason=None: heads.append((status, headers))))
        start_response(*heads[-1])
        return blocks

    return Client(server, TestResponse).get(path, environ_overrides=UNDER_THE_SERVER, headers=headers)


def notes() -> RequestNotes:
    """Of the request that this thread has just run."""
    found = current_notes()
    assert found is not None
    return found


# --- what is noted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "route", "endpoint", "view"),
    [
        ("/shop/item/7", "/shop/item/<int:number>", "shop.item", f"{__name__}.app.<locals>.item"),
        ("/stock", "/stock", "stock", f"{__name__}.Stock"),
        ("/static/no-such-file", "/static/<path:filename>", "static", "flask.app.Flask.__init__.<locals>.<lambda>"),
        ("/nothing", "", "", ""),
    ],
)
def test_the_route(
    app: Flask, monkeypatch: pytest.MonkeyPatch, path: str, route: str, endpoint: str, view: str
) -> None:
    """Rule, endpoint (with its blueprint) and view; the server is told, which may have a limit for the endpoint."""
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(extension, "set_route", lambda environ, *, route, name: told.append((route, name)))
    ask(app, path)
    assert (notes().framework, notes().route, notes().url_name, notes().view) == ("flask", route, endpoint, view)
    assert told == ([(route, endpoint)] if route else [])


def test_another_server(app: Flask) -> None:
    """Nothing is noted, and nothing is caught."""
    before = current_notes()
    assert app.test_client().get("/stock").text == "stock"
    assert current_notes() is before
    with pytest.raises(HarakiriTimeout):
        app.test_client().get("/late")


def test_it_is_installed_once(app: Flask) -> None:
    wrapped = app.wsgi_app
    Uwsgi(app)
    assert app.wsgi_app is wrapped


class User(UserMixin):
    def __init__(self, number: str) -> None:
        self.id = number


class Unlucky(UserMixin):
    """Whose id would be a query."""

    @property
    def id(self) -> str:
        raise AssertionError("evaluated")


@pytest.fixture
def with_login(app: Flask) -> FlaskClient:
    manager = LoginManager(app)
    loaded: list[str] = []

    @manager.user_loader
    def load(number: str) -> User:
        loaded.append(number)
        return User(number)

    @app.get("/login")
    def login() -> str:
        login_user(User("7"))
        return ""

    @app.get("/anonymous-view")
    def anonymous_view() -> str:
        g.seen = notes().snapshot()
        assert loaded == []
        return repr(g.seen.user and g.seen.user())

    @app.get("/account")
    def account() -> str:
        assert current_user.id == "7"
        snapshot = notes().snapshot()
        return repr(snapshot.user and snapshot.user())

    client = app.test_client()
    client.get("/login", environ_overrides=UNDER_THE_SERVER)
    return client


def test_the_user(with_login: FlaskClient) -> None:
    """The id of one that the request has loaded; none is loaded for it."""
    assert with_login.get("/anonymous-view", environ_overrides=UNDER_THE_SERVER).text == "None"
    assert with_login.get("/account", environ_overrides=UNDER_THE_SERVER).text == "'7'"
    finished = notes()
    assert finished.user is not None
    assert finished.user() is None, "the notes do not keep what the request had"


def test_no_attribute_of_the_user_is_evaluated() -> None:
    class Globals:
        _login_user = Unlucky()

    here = Globals()
    here._login_user = Unlucky()
    assert extension.user_of(lambda: here) is None


def test_redaction_is_the_applications(app: Flask) -> None:
    """UWSGI_REDACT goes with the notes."""
    other = Flask("other")
    other.config["UWSGI_REDACT"] = lambda name, value: "*"
    Uwsgi(other)
    ask(other, "/")
    assert notes().redact is other.config["UWSGI_REDACT"]


@pytest.mark.parametrize("value", ["http,cache", "http cache", ["http", "cache"]])
def test_instrumentation(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    """UWSGI_NOTE_CALLS, as Python and as an environment variable says it; once more with the first request."""
    wanted: list[tuple[str, ...]] = []
    monkeypatch.setattr(extension, "instrument", lambda *kinds: wanted.append(kinds))
    app = Flask("other")
    app.config["UWSGI_NOTE_CALLS"] = value
    Uwsgi(app)
    for _ in range(3):
        ask(app, "/")
    assert wanted == [("http", "cache"), ("http", "cache")]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_no_handler(app: Flask) -> None:
    """A page that says what happened, in JSON for who prefers it."""
    page = ask(app, "/late", Accept="text/html,*/*;q=0.8")
    assert (page.status_code, page.mimetype) == (504, "text/html")
    assert "its time was over" in page.text
    response = ask(app, "/late", Accept="application/json")
    assert (response.status_code, response.json) == (504, {"error": "timeout", "status": 504})
    assert ask(app, "/late").mimetype == "text/html"


@pytest.mark.parametrize("handled", [504, HTTPException])
def test_the_applications_handler(app: Flask, handled: Any) -> None:
    """For 504 or for every HTTP error, with contexts of its own and what after_request adds."""
    app.register_error_handler(handled, lambda error: ({"error": error.code, "page": True}, error.code))
    app.after_request(lambda response: response.headers.update({"X-After": "yes"}) or response)  # type: ignore[func-returns-value]
    response = ask(app, "/late")
    assert (response.status_code, response.json) == (504, {"error": 504, "page": True})
    assert response.headers["X-After"] == "yes"


def test_a_handler_that_fails(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so; the client gets the server's answer."""

    @app.errorhandler(504)
    def broken(error: object) -> str:
        raise LookupError("no template")

    with pytest.raises(HarakiriTimeout), caplog.at_level(logging.ERROR, "uwsgi.harakiri"):
        ask(app, "/late")
    assert "LookupError: no template" in caplog.text


def test_contexts_are_left(app: Flask) -> None:
    """Teardown functions run, with the exception; then those of the page, without."""
    seen: list[str] = []
    app.teardown_request(lambda error: seen.append(f"request {type(error).__name__}"))
    app.teardown_appcontext(lambda error: seen.append(f"app {type(error).__name__}"))
    app.register_error_handler(504, lambda error: ("page", 504))
    assert ask(app, "/late").text == "page"
    assert seen[:2] == ["request HarakiriTimeout", "app HarakiriTimeout"]
    assert len(seen) == 4
    with pytest.raises(RuntimeError, match="outside of application context"):
        _ = g.anything


def test_the_middle_of_an_error_handler(app: Flask) -> None:
    """A request may run out of time wherever it is."""

    @app.errorhandler(418)
    def slow(error: object) -> str:
        raise HarakiriTimeout

    app.get("/teapot")(lambda: abort(418))
    app.register_error_handler(504, lambda error: ("page", 504))
    assert ask(app, "/teapot").status_code == 504


# --- the signal -------------------------------------------------------------------------------------------------------


def test_the_signal(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Receivers get the report in an application context; one that fails keeps it from no other."""
    got: list[tuple[str, str]] = []

    def receive(sender: Flask, report: dict[str, Any]) -> None:
        assert g is not None
        got.append((sender.name, report["id"]))

    def fail(sender: Flask, report: dict[str, Any]) -> None:
        raise LookupError("no mail")

    with request_timed_out.connected_to(fail), request_timed_out.connected_to(receive, sender=app):
        send_report(app, {"id": "1", "kind": "deadline", "outcome": "answered_504"})
        send_report(Flask("other"), {"id": "2", "kind": "deadline", "outcome": "cut"})
        send_report(app, {"id": "3", "kind": "soft", "outcome": "continues"})
        send_report(app, {"id": "4", "kind": "hard", "outcome": "killed"})
    assert got == [("shop_app", "1"), ("shop_app", "4")]
    assert caplog.text.count("LookupError: no mail") == 3
    with request_is_slow.connected_to(receive):
        send_report(app, {"id": "5", "kind": "soft", "outcome": "continues"})
        send_report(app, {"id": "6", "kind": "deadline", "outcome": "continues"})
    assert got[2:] == [("shop_app", "5"), ("shop_app", "6")]


# --- SQLAlchemy -------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Any) -> Any:
    """A database in a file, with a function that runs out of time."""
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db", poolclass=QueuePool, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


@pytest.fixture
def session(app: Flask, engine: Any) -> Any:
    """As an application has it: one per thread, removed with the application context."""
    session = scoped_session(sessionmaker(engine))
    app.teardown_appcontext(lambda error: session.remove())
    return session


def test_statements(app: Flask, session: Any, engine: Any) -> None:
    """The one that runs, with database and dialect; then they are counted."""
    running: list[Any] = []

    @event.listens_for(engine, "before_cursor_execute")
    def look(*_: object) -> None:
        running.append([(call.kind, call.target.rpartition("/")[2], call.text) for call in notes().running])

    @app.get("/query")
    def query() -> str:
        for number in range(3):
            session.execute(text("SELECT :number"), {"number": number})
        with pytest.raises(Exception, match="no such table"):
            session.execute(text("SELECT * FROM nowhere"))
        return "ok"

    assert ask(app, "/query").text == "ok"
    assert notes().counts["database"] == 4 + 1, "four statements, one connection"
    assert notes().running == []
    assert [("database", "shop.db (sqlite)", "SELECT ?")] in running


@pytest.mark.parametrize("place", ["in the statement", "between statements"])
def test_the_connection_is_thrown_away(app: Flask, session: Any, engine: Any, place: str) -> None:
    """Of a request that was interrupted; the pool makes another one, and has none too few."""
    opened: list[object] = []
    event.listen(engine, "connect", lambda driver, record: opened.append(driver))
    armed: list[bool] = []

    @event.listens_for(engine, "before_cursor_execute")
    def interrupt(*_: object) -> None:
        if armed:
            armed.clear()
            raise HarakiriTimeout

    @app.get("/query")
    def query() -> str:
        session.execute(text("SELECT 1"))
        return "ok"

    @app.get("/interrupted")
    def interrupted() -> str:
        session.execute(text("SELECT 1"))
        if place == "between statements":
            raise HarakiriTimeout
        armed.append(True)
        session.execute(text("SELECT 2"))
        raise AssertionError("not interrupted")

    assert ask(app, "/query").text == ask(app, "/query").text == "ok"
    assert len(opened) == 1
    assert ask(app, "/interrupted").status_code == 504
    assert engine.pool.checkedout() == 0
    assert ask(app, "/query").text == "ok"
    assert len(opened) == 2


def test_a_statement_without_a_request(engine: Any) -> None:
    """Scripts and threads use the same engines."""
    Uwsgi(Flask("other"))
    with Session(engine) as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
