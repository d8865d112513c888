"""Views that take too long. Each is a thing that happens to real sites, without what is around it there."""

import re
import socket
import sqlite3
import subprocess
import threading
import time
from http.client import HTTPConnection

from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from uwsgi_deploy import HarakiriTimeout, deadline, harakiri
from waits.ways import ALLOWED, HANGING

FOREVER = 3600


def index(request):
    """What there is to click."""
    return render(request, "waits/index.html", {"hanging": HANGING, "allowed": ALLOWED})


def sleep(request):
    time.sleep(FOREVER)


def loop(request):
    count = 0
    while True:
        count += 1


def regex(request):
    """The pattern tries every way to share the letters out: two to the power of forty."""
    re.match(r"(a+)+$", "a" * 40 + "b")


def lock(request):
    mine = threading.Lock()
    mine.acquire()
    mine.acquire()


def read_socket(request):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


def http(request, shop):
    """The server's kernel takes the connection; no program behind it ever does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HTTPConnection("127.0.0.1", silent.getsockname()[1])
        client.request("GET", f"/prices/{shop}?token=secret")
        client.getresponse()


def sql(request):
    numbers = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000000000)"
    with connection.cursor() as cursor:
        cursor.execute(f"{numbers} SELECT count(*) FROM number WHERE n > %s", [0])


@transaction.atomic
def many_queries(request):
    """What was written before the timeout is undone with the transaction."""
    users = get_user_model().objects
    users.filter(username="demo").update(first_name="Changed")
    while True:
        users.filter(username="nobody").first()


def sqlite_lock(request):
    """SQLite waits in C until its own timeout, 60 s here: no exception gets through."""
    archive = connections["archive"]
    other = sqlite3.connect(archive.settings_dict["NAME"])
    other.execute("BEGIN EXCLUSIVE")
    with archive.cursor() as cursor:
        cursor.execute("CREATE TABLE invoice (number integer)")


def run_program(request):
    subprocess.run(["sleep", str(FOREVER)], check=True)


def slow_template(request):
    return render(request, "waits/report.html", {"rows": range(5000)})


def stream(request):
    def lines():
        yield "The first line is with you.\n"
        time.sleep(FOREVER)

    return StreamingHttpResponse(lines(), content_type="text/plain")


def stubborn(request):
    while True:
        try:
            time.sleep(FOREVER)
        except BaseException:  # what no code should do
            pass


def only_slow(request):
    time.sleep(2)
    return HttpResponse("Slow, and done.")


@harakiri(10)
def patient(request):
    time.sleep(4)
    return HttpResponse("Four seconds were allowed here.")


def export(request):
    time.sleep(4)
    return HttpResponse("Four seconds were allowed to this URL name.")


def exempt(request):
    time.sleep(4)
    return HttpResponse("This path has no limit.")


def partial_answer(request):
    try:
        with deadline(1):
            time.sleep(FOREVER)
    except HarakiriTimeout:
        return HttpResponse("Prices are not available at the moment; everything else is.")
    return HttpResponse("Prices, and everything else.")
