"""What only Flask knows of a request, for the report that may have to be made; the project's page and its signal.

    Uwsgi(app)

It puts `HarakiriMiddleware` around the application. Rule, endpoint and view are noted when the request has been
matched, statements of SQLAlchemy when that is there, other calls as `app.config["UWSGI_NOTE_CALLS"]` says. A handler
for error 504 is the page of a request whose time is over. Receivers of `flask_integration.request_timed_out` get its
report.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any
from weakref import ref

from flask import Flask, g, request
from flask.signals import request_started
from werkzeug.exceptions import GatewayTimeout

from flask_integration.middleware import Application, Environ, HarakiriMiddleware
from flask_integration.signals import request_is_slow, request_timed_out
from uwsgi_deploy import NOTES, HarakiriTimeout, RequestNotes, instrument, on_report, set_route

NOTE_CALLS = "UWSGI_NOTE_CALLS"
REDACT = "UWSGI_REDACT"

DESCRIPTION = "The request was ended because its time was over. Please try again later."
JSON = "application/json"
SOFT = "soft"
GOES_ON = ("continues", "completed")

logger = logging.getLogger("uwsgi.harakiri")


class Uwsgi:
    """See the module; for one application, or with `init_app` for several."""

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Call it once per application, after its configuration is complete; a second call does nothing."""
        if "uwsgi" not in app.extensions:
            app.extensions["uwsgi"] = _Watching(app)


class _Watching:
    """What is put around one application."""

    def __init__(self, app: Flask) -> None:
        self._instrument = _words(app.config.get(NOTE_CALLS) or ())
        self._redact: Callable[[str, Any], Any] | None = app.config.get(REDACT)
        self._views: dict[str, str] = {}
        self._prepared = self._has_login = False
        self._watch_libraries()
        app.wsgi_app = HarakiriMiddleware(  # type: ignore[method-assign]
            app.wsgi_app, partial(timeout_page, app), framework="flask"
        )
        request_started.connect(self._matched, app)
        on_report(partial(send_report, app))

    def _watch_libraries(self) -> None:
        """Those that are loaded; once more in each worker, whose application may have imported others by then."""
        instrument(*self._instrument)
        if "sqlalchemy.engine" in sys.modules:
            import_module("flask_integration.databases").watch()
        self._has_login = "flask_login" in sys.modules

    def _matched(self, app: Flask, **_: object) -> None:
        """The URL is resolved: name the route, which may have a limit of its own (`harakiri-routes`)."""
        if not self._prepared:
            self._prepared = True
            self._watch_libraries()
        here = request._get_current_object()  # type: ignore[attr-defined]
        notes: RequestNotes | None = here.environ.get(NOTES)
        if notes is None:
            return
        notes.redact = self._redact
        if self._has_login:
            # Not the thing itself: who keeps the notes must not keep what the request opened.
            notes.user = partial(user_of, ref(g._get_current_object()))
        rule = here.url_rule
        if rule is not None:
            notes.route, notes.url_name = rule.rule, rule.endpoint
            notes.view = self._views.get(rule.endpoint) or self._view(app, rule.endpoint)
            set_route(here.environ, route=rule.rule, name=rule.endpoint)

    def _view(self, app: Flask, endpoint: str) -> str:
        """The dotted name of the function or class behind an endpoint."""
        function: Any = app.view_functions.get(endpoint)
        view = getattr(function, "view_class", function)
        name = f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', endpoint)}"
        self._views[endpoint] = name
        return name


def _words(value: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """`"http,cache"`, as an environment variable says it, or a list."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else tuple(value)


def timeout_page(app: Flask, environ: Environ, _timeout: HarakiriTimeout) -> Application:
    """What the application's or blueprint's handler for 504, HTTPException or Exception makes of it; without one JSON
    for who prefers it, else Werkzeug's page.

    The request's own contexts are gone, torn down with all that it had opened: the handler gets new ones.
    """
    error = GatewayTimeout(DESCRIPTION)
    with app.request_context(environ):
        answer = app.handle_http_exception(error)
        if answer is error and request.accept_mimetypes.best_match(("text/html", "application/json")) == JSON:
            answer = app.json.response(error="timeout", status=504), 504
        return app.finalize_request(answer, from_error_handler=True)


def user_of(globals_of_request: Callable[[], object]) -> object:
    """The id of Flask-Login's user if the request has loaded it; nothing is looked up, no attribute evaluated."""
    user = vars(globals_of_request() or object).get("_login_user")
    facts = getattr(user, "__dict__", {})
    if "id" in facts:
        return facts["id"]
    key = getattr(facts.get("_sa_instance_state"), "key", None)  # SQLAlchemy's identity: (class, primary key, token)
    return key[1][0] if key and len(key[1]) == 1 else None


def send_report(app: Flask, report: dict[str, Any]) -> None:
    """Tell who listens. A request goes on after the soft stage, and when it catches the timeout of a `deadline()`."""
    goes_on = report["kind"] == SOFT or report["outcome"] in GOES_ON
    signal = request_is_slow if goes_on else request_timed_out
    for receiver in signal.receivers_for(app):
        try:
            with app.app_context():
                receiver(app, report=report)
        except Exception:
            logger.exception("A receiver of %s failed", signal.name)
