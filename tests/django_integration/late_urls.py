"""Views that run out of time, for tests in which no server raises HarakiriTimeout but the view itself."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View

from uwsgi_deploy import NOTES, HarakiriTimeout

SEEN: list[Any] = []
"""What views saw, for the test to look at."""


def late(request: HttpRequest, **_arguments: object) -> HttpResponse:
    raise HarakiriTimeout(limit=3.0)


def fine(request: HttpRequest, **_arguments: object) -> HttpResponse:
    SEEN.append(request.META.get(NOTES))
    return HttpResponse("fine")


def asks(request: HttpRequest) -> HttpResponse:
    """Three queries, in the middle of one of which the notes are looked at."""
    notes = request.META[NOTES]
    connection.ensure_connection()
    connection.connection.create_function("seen", 0, lambda: SEEN.append([*notes.running]) or 1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("SELECT seen()")
        cursor.execute("SELECT %s", [3])
    return HttpResponse("asked")


def writes_late(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO late VALUES (1)")
    raise HarakiriTimeout


class Page(View):
    """A view that is a class."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return fine(request)


urlpatterns = [
    path("late/", late),
    path("fine/<int:number>/", fine, name="fine"),
    path("page/", Page.as_view()),
    path("inner/", include(([path("fine/", fine, name="fine")], "inner"))),
    path("asks/", asks),
    path("writes-late/", writes_late),
]
