"""What only Django knows of a request, for a report that may have to be made; the page for one that ran out of time.

    MIDDLEWARE = ["django_integration.middleware.HarakiriMiddleware", ...]

First in the list, so that everything of the request is inside. Under another server, or in tests, it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.debug import get_default_exception_reporter_filter

from django_integration import databases
from django_integration.timeout_page import timeout_response
from uwsgi_deploy import NOTES, HarakiriTimeout, set_route, take_notes, timed_out

SERVER = "uwsgi.version"
"""What this server (and uWSGI) puts into the environ of every request."""


class HarakiriMiddleware:
    """See the module. It costs 1.3 microseconds per request, and 1.4 per query (docs/django-harakiri.md)."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        databases.watch()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        environ = request.META
        if SERVER not in environ:
            return self.get_response(request)
        notes = take_notes(environ, "django")
        notes.user, notes.redact = partial(user_of, request), redact
        try:
            return self.get_response(request)
        except HarakiriTimeout as timeout:
            timed_out()  # no more interruptions; this thread's database connections are closed
            return timeout_response(request, timeout)
        finally:
            # Not the function any more: it would hold the request, and the request the notes.
            user = user_of(request)
            notes.user = None if user is None else lambda: user

    def process_view(self, request: HttpRequest, _view: object, _args: object, _kwargs: object) -> None:
        """The URL is resolved: name the route, which may have a limit of its own (`harakiri-routes`)."""
        notes = request.META.get(NOTES)
        match = request.resolver_match
        if notes is None or match is None:
            return
        notes.route, notes.view, notes.url_name = match.route or "", match._func_path, match.view_name or ""
        set_route(request.META, route=notes.route, name=notes.url_name)


def user_of(request: HttpRequest) -> object:
    """The primary key of the request's user if somebody has looked it up; `request.user` itself is never evaluated."""
    user = request.__dict__.get("_cached_user")
    return None if user is None else user.pk


def redact(name: str, value: Any) -> Any:
    """What the project's error pages would show of this (DEFAULT_EXCEPTION_REPORTER_FILTER)."""
    cleanse = getattr(get_default_exception_reporter_filter(), "cleanse_setting", None)
    return value if cleanse is None else cleanse(name, value)
