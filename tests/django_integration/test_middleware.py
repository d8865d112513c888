"""HarakiriMiddleware: what it notes of a request, and what the client gets when the time is over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_settings

from django_integration import databases
from django_integration.middleware import redact
from django_integration.timeout_page import prefers_json
from tests.django_integration import late_urls
from uwsgi_deploy import HarakiriTimeout, RequestNotes

MIDDLEWARE = "django_integration.middleware.HarakiriMiddleware"
SERVER: dict[str, Any] = {"uwsgi.version": b"2.0.31"}


def outer(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware of the project's that stands above."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["X-Outer"] = "seen"
        return response

    return middleware


class Users:
    """As AuthenticationMiddleware does it: the user is looked up when `request.user` is used, and kept then."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.GET.get("user"):
            request._cached_user = type("User", (), {"pk": 7})()
        return self.get_response(request)


class Bomb:
    """`request.user` in a project: looking at it is a query."""

    def __get__(self, request: object, owner: type) -> object:
        raise AssertionError("request.user was looked at")


@pytest.fixture
def client() -> Iterator[Client]:
    """Requests as they come from this server."""
    late_urls.SEEN.clear()
    middleware = [f"{__name__}.outer", MIDDLEWARE, f"{__name__}.Users"]
    with override_settings(
        ROOT_URLCONF="tests.django_integration.late_urls", MIDDLEWARE=middleware, ALLOWED_HOSTS=["*"]
    ):
        yield Client(**SERVER)


def notes() -> RequestNotes:
    """What the view found in its environ."""
    found = late_urls.SEEN.pop()
    assert isinstance(found, RequestNotes)
    return found


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "route", "view", "name"),
    [
        ("/fine/7/", "fine/<int:number>/", "late_urls.fine", "fine"),
        ("/inner/fine/", "inner/fine/", "late_urls.fine", "inner:fine"),
        ("/page/", "page/", "late_urls.Page", "tests.django_integration.late_urls.Page"),
    ],
)
def test_route(client: Client, path: str, route: str, view: str, name: str) -> None:
    """The pattern, the view and the URL's name, as soon as the URL is resolved."""
    client.get(path)
    found = notes()
    assert (found.framework, found.route, found.url_name) == ("django", route, name)
    assert found.view == f"tests.django_integration.{view}"


def test_route_reaches_the_server(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """`harakiri-routes` may limit it by either name."""
    named: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "django_integration.middleware.set_route", lambda environ, *, route, name: named.append((route, name))
    )
    client.get("/fine/7/")
    assert named == [("fine/<int:number>/", "fine")]


def test_nothing_is_found(client: Client) -> None:
    """An unknown path has no route, and 404 as ever."""
    assert client.get("/nowhere/").status_code == 404


@pytest.mark.parametrize(("query", "user"), [("?user=1", 7), ("", None)])
def test_user(client: Client, query: str, user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that is looked up already; afterwards the notes do not hold the request."""
    monkeypatch.setattr(HttpRequest, "user", Bomb(), raising=False)
    client.get(f"/fine/7/{query}")
    found = notes()
    assert (found.user() if found.user else None) == user
    assert getattr(found.user, "args", ()) == ()


def test_queries(client: Client) -> None:
    """How many, how long, and the one that runs, as Django sends it."""
    assert client.get("/asks/").status_code == 200
    (running,) = late_urls.SEEN
    assert [(call.kind, call.target, call.text) for call in running] == [
        ("database", "default (sqlite)", "SELECT seen()")
    ]
    assert running[0].ended > running[0].started > 0


def test_queries_are_counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[RequestNotes] = []
    monkeypatch.setattr(
        "django_integration.middleware.set_route", lambda environ, **_: taken.append(environ["uwsgi.notes"])
    )
    client.get("/asks/")
    assert taken[0].counts == {"database": 3}
    assert taken[0].spent["database"] > 0
    assert taken[0].running == []


def test_queries_outside_of_requests_are_left_alone() -> None:
    """A command, a test: no notes, no error."""
    connection.ensure_connection()
    assert connection.execute_wrappers.count(databases.note_query) == 1
    with connection.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_wrappers_of_others_stay_in_order() -> None:
    """A wrapper that was put on before the connection was opened is taken off again by its own context manager."""
    fresh = connections.create_connection("default")
    theirs = []

    def wrapper(execute: Any, *arguments: Any) -> Any:
        theirs.append(arguments[0])
        return execute(*arguments)

    with fresh.execute_wrapper(wrapper), fresh.cursor() as cursor:
        cursor.execute("SELECT 1")
    with fresh.cursor() as cursor:
        cursor.execute("SELECT 2")
    assert theirs == ["SELECT 1"]
    assert fresh.execute_wrappers == [databases.note_query]


def test_secrets() -> None:
    """The rule of the project's error pages, also when it is the project's own."""
    assert redact("HTTP_X_API_KEY", "abc") == "********************"
    assert redact("HTTP_ACCEPT", "text/html") == "text/html"


# --- the end ----------------------------------------------------------------------------------------------------------


def template(folder: Path, text: str) -> Any:
    """The project's own page."""
    (folder / "504.html").write_text(text)
    backend = "django.template.backends.django.DjangoTemplates"
    return override_settings(TEMPLATES=[{"BACKEND": backend, "DIRS": [str(folder)]}])


def test_page_of_the_project(client: Client, tmp_path: Path) -> None:
    """504.html, with what it may want to tell; what stands above sees an ordinary response."""
    with template(tmp_path, "{{ path }} {{ limit|floatformat }} s, {{ request_id }}"):
        response = client.get("/late/", HTTP_X_REQUEST_ID="<7>")
    assert response.status_code == 504
    assert response.content == b"/late/ 3 s, &lt;7&gt;"
    assert response["X-Outer"] == "seen"


@pytest.mark.parametrize("text", ["{% no such tag %}", "{% include 'missing.html' %}", "{% extends 'missing.html' %}"])
def test_page_that_fails(client: Client, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The plain page, and the reason in the log."""
    with template(tmp_path, text):
        response = client.get("/late/")
    assert response.status_code == 504
    assert b"This took too long" in response.content
    assert "504.html could not be rendered" in caplog.text


@pytest.mark.parametrize("engines", [[], [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]])
def test_plain_page(client: Client, engines: list[dict[str, str]], caplog: pytest.LogCaptureFixture) -> None:
    """Without one of the project's."""
    with override_settings(TEMPLATES=engines):
        response = client.get("/late/", HTTP_ACCEPT="text/html,application/json;q=0.5")
    assert (response.status_code, response["Content-Type"]) == (504, "text/html; charset=utf-8")
    assert b"This took too long" in response.content
    assert "could not" not in caplog.text


def test_json(client: Client) -> None:
    """For a client that would rather have it."""
    response = client.get("/late/", HTTP_ACCEPT="application/json", HTTP_X_REQUEST_ID="7")
    assert response.status_code == 504
    assert json.loads(response.content) == {"error": "timeout", "status": 504, "request_id": "7"}


@pytest.mark.parametrize(
    ("accept", "json_is_preferred"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/json", True),
        ("application/json, text/plain, */*", False),
        ("Application/JSON;q=0.9, text/html;q=0.8", True),
        ("application/json;q=0", False),
        ("application/json;q=x", False),
        ("application/*", True),
    ],
)
def test_preference(accept: str, json_is_preferred: bool) -> None:
    assert prefers_json(accept) is json_is_preferred


def test_connections_are_closed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this thread, by the server's rule for whoever answers."""
    closed: list[str] = []
    monkeypatch.setattr(databases, "discard", lambda connection: closed.append(connection.alias))
    monkeypatch.setattr("django_integration.middleware.timed_out", databases.discard_connections)
    connection.ensure_connection()
    client.get("/late/")
    assert closed == ["default"]


@pytest.mark.parametrize("atomic", [True, False])
def test_transaction_is_undone(client: Client, atomic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ATOMIC_REQUESTS what the view wrote is gone."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE late (number integer)")
    try:
        assert client.get("/writes-late/").status_code == 504
        with connection.cursor() as cursor:
            assert cursor.execute("SELECT count(*) FROM late").fetchone() == (0 if atomic else 1,)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE late")


def test_without_the_server(client: Client) -> None:
    """Nobody else raises HarakiriTimeout; if somebody does it is theirs to catch."""
    client.defaults.clear()
    with pytest.raises(HarakiriTimeout):
        client.get("/late/")
    client.get("/fine/7/")
    assert late_urls.SEEN == [None]


# --- connections ------------------------------------------------------------------------------------------------------


class Driver:
    """A connection as psycopg 3 shows it."""

    class Info:
        """Its state."""

        class transaction_status:  # noqa: N801 - psycopg's name
            """An enum's member."""

            name = "ACTIVE"

    info = Info

    def __init__(self) -> None:
        self.done: list[str] = []
        self.results = [object(), None]

    @property
    def pgconn(self) -> Driver:
        return self

    def is_busy(self) -> bool:
        return False

    def get_result(self) -> object:
        return self.results.pop(0)

    def cancel(self) -> None:
        self.done.append("cancel")

    def close(self) -> None:
        self.done.append("close")


class NewDriver(Driver):
    """Since 3.2."""

    def cancel_safe(self, *, timeout: float) -> None:
        self.done.append(f"cancel within {timeout:g} s")


class Wrapper:
    """A database connection of Django's."""

    alias = "default"
    errors_occurred = False

    def __init__(self, driver: Driver) -> None:
        self.connection: Driver | None = driver

    def close(self) -> None:
        assert self.connection is not None
        self.connection.close()
        self.connection = None


@pytest.mark.parametrize(
    ("driver", "done"), [(Driver(), ["cancel", "close"]), (NewDriver(), ["cancel within 1 s", "close"])]
)
def test_running_statement_is_cancelled(driver: Driver, done: list[str]) -> None:
    """Before the connection is closed: the database would go on with it."""
    databases.discard(Wrapper(driver))
    assert driver.done == done
    assert driver.results == []


def test_interrupted_statement_is_cancelled() -> None:
    """The connection is left open: what unwinds uses it. Django looks after it before the next request."""
    driver = Driver()
    wrapper = Wrapper(driver)
    databases.interrupted(wrapper)
    assert driver.done == ["cancel"]
    assert wrapper.errors_occurred is True
    assert wrapper.connection is driver


def test_connection_that_cannot_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    """It is forgotten, and said so."""

    class Broken(Driver):
        def close(self) -> None:
            raise OSError("no")

    wrapper = Wrapper(Broken())
    databases.discard(wrapper)
    assert wrapper.connection is None
    assert "The connection 'default' could not be closed" in caplog.text
