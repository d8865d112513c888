"""Views that say which connection they had, and whether another request had it at the same time."""

from __future__ import annotations

import time

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from green_django.models import Note

IN_USE: set[int] = set()
SHARED: list[int] = []


def asleep(request: HttpRequest, milliseconds: int) -> HttpResponse:
    """A query that takes time in the database; the process that ran it, and whether it is idle between queries."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        if pid in IN_USE:
            SHARED.append(pid)
        IN_USE.add(pid)
        cursor.execute("SELECT pg_sleep(%s), pg_backend_pid()", [milliseconds / 1000])
        again = cursor.fetchone()[1]
        IN_USE.discard(pid)
    return JsonResponse({"pid": pid, "again": again, "shared": SHARED})


def write(request: HttpRequest, text: str) -> HttpResponse:
    """A transaction that lets others run before it ends."""
    with transaction.atomic():
        note = Note.objects.create(text=text)
        time.sleep(0.01)
        Note.objects.filter(pk=note.pk).update(text=text.upper())
    return JsonResponse({"text": Note.objects.get(pk=note.pk).text})


def fail(request: HttpRequest) -> HttpResponse:
    """A transaction that is undone."""
    with transaction.atomic():
        Note.objects.create(text="never")
        raise ValueError("on purpose")


def count(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"notes": Note.objects.count()})


def wait(request: HttpRequest, number: int) -> HttpResponse:
    time.sleep(1)
    return HttpResponse("waited")


def reset(request: HttpRequest) -> HttpResponse:
    """Make the table."""
    with connection.schema_editor() as editor:
        editor.create_model(Note)
    return HttpResponse("made")


urlpatterns = [
    path("asleep/<int:milliseconds>", asleep),
    path("write/<str:text>", write),
    path("fail", fail),
    path("count", count),
    path("reset", reset),
    path("wait/<int:number>", wait),
]
