"""Whose code a frame is, what its line says, and which threads do the same."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import uwsgi_deploy
from tests.unit.reports.incidents import frames
from uwsgi_deploy.reports.incident import Frame, Stack
from uwsgi_deploy.reports.redaction import Redactor
from uwsgi_deploy.reports.stacks import (
    MOST_FRAMES,
    SourceLines,
    Territory,
    collapsed,
    culprit,
    in_request,
    library_name,
    stack_fields,
)

VENV = "/srv/venv/lib/python3.12/site-packages"
LIFECYCLE = os.path.join(os.path.dirname(uwsgi_deploy.__file__), "wsgi", "lifecycle.py")


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/srv/shop/views.py", True),
        ("templates/page.html", True),
        (f"{VENV}/django/db/models/query.py", False),
        ("/usr/lib/python3/dist-packages/flask/app.py", False),
        (threading.__file__, False),
        ("/opt/python/lib/python3.13/threading.py", False),
        (LIFECYCLE, False),
        ("<frozen importlib._bootstrap>", False),
        ("<string>", False),
    ],
)
def test_whose_code_it_is(file: str, own: bool) -> None:
    assert Territory().is_application(Frame(file, 1, "f")) is own


def test_an_installed_application_is_the_application() -> None:
    territory = Territory("shop")
    assert territory.is_application(Frame(f"{VENV}/shop/views.py", 1, "f"))
    assert not territory.is_application(Frame(f"{VENV}/shopping/views.py", 1, "f"))
    assert not territory.is_application(Frame(f"{VENV}/django/shop/views.py", 1, "f"))


def test_the_culprit_is_the_innermost_of_the_application() -> None:
    stack = tuple(frames(f"{VENV}/redis/client.py:9 get", "/srv/shop/cache.py:4 look", "/srv/shop/views.py:8 page"))
    found = culprit(stack, Territory())
    assert found is not None
    assert (found.file, found.function) == ("/srv/shop/cache.py", "look")


def test_without_the_application_a_library_is_to_blame() -> None:
    stack = tuple(frames(f"{threading.__file__}:320 wait", f"{VENV}/redis/client.py:9 get", f"{LIFECYCLE}:40 x"))
    found = culprit(stack, Territory())
    assert found is not None
    assert found.function == "get"
    only_ours = culprit(tuple(frames(f"{LIFECYCLE}:40 x")), Territory())
    assert only_ours is not None
    assert only_ours.function == "x"
    assert culprit((), Territory()) is None


def test_libraries_are_named_as_they_name_themselves() -> None:
    assert library_name(Frame(f"{VENV}/psycopg/cursor.py", 1, "f")) == "psycopg/cursor.py"
    assert library_name(Frame(threading.__file__, 1, "f")) == "threading.py"
    assert library_name(Frame("/srv/shop/views.py", 1, "f")) == ""


def test_what_called_the_application_is_left_out() -> None:
    stack = tuple(frames("/srv/a.py:1 f", f"{LIFECYCLE}:40 handle_request", "/x/worker.py:1 serve"))
    assert in_request(stack) == stack[:1]
    assert in_request(stack[:1]) == stack[:1]


def test_lines_come_from_python_files_only(tmp_path: Path) -> None:
    """Names come from the worker, which may be anybody's; the master may be root."""
    module = tmp_path / "views.py"
    module.write_text("import time\n\n    time.sleep(60)  # ä\n", encoding="utf-8")
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2\n")
    os.mkfifo(tmp_path / "fifo.py")
    sources = SourceLines()
    assert sources.line(Frame(str(module), 3, "f")) == "time.sleep(60)  # ä"
    assert sources.line(Frame(str(module), 99, "f")) == ""
    assert sources.line(Frame(str(module), 0, "f")) == ""
    assert sources.line(Frame(str(secret), 1, "f")) == ""
    assert sources.line(Frame(str(tmp_path / "fifo.py"), 1, "f")) == ""
    assert sources.line(Frame(str(tmp_path / "gone.py"), 1, "f")) == ""
    assert sources.line(Frame("bad\0name.py", 1, "f")) == ""


def test_endless_recursion_shows_both_ends() -> None:
    stack = [Frame("/srv/a.py", number, "f") for number in range(1000)]
    shown = stack_fields(stack, Territory(), SourceLines())
    assert len(shown) == MOST_FRAMES
    assert (shown[0]["line"], shown[-1]["line"]) == (0, 999)


def test_threads_that_do_the_same_are_one() -> None:
    """Of a thousand greenlets one sees at once what most do; the application's come first."""
    waiting = (Frame(threading.__file__, 320, "wait"),)
    working = (Frame("/srv/shop/views.py", 8, "page"), Frame(LIFECYCLE, 40, "handle_request"))
    stacks = [Stack(f"pool {number}", waiting) for number in range(9)]
    stacks += [Stack(f"core {number}, GET /page?q=hunter2", working) for number in range(3)]
    first, second = collapsed(stacks, Territory(), Redactor())
    assert (first["count"], second["count"]) == (3, 9)
    assert first["names"] == [f"core {number}, GET /page?*" for number in range(3)]
    assert [frame["function"] for frame in first["frames"]] == ["page"]
    assert len(second["names"]) == 5


def test_the_servers_own_threads_are_left_out() -> None:
    """Also cores that wait; not a request that waits for its client."""
    package = os.path.dirname(uwsgi_deploy.__file__)
    watching = Stack("watchdog", tuple(frames(f"{package}/native.py:41 wait", f"{package}/worker/watchdog.py:1 run")))
    idle = Stack("core 1", tuple(frames(f"{package}/net/reactor.py:1 poll", f"{package}/worker/worker.py:1 run")))
    reading = Stack("core 2", tuple(frames(f"{package}/wsgi/body.py:1 _receive", "/srv/shop/views.py:8 page")))
    assert [found["names"] for found in collapsed([watching, idle, reading], Territory(), Redactor())] == [["core 2"]]


def test_what_interrupts_a_request_is_no_part_of_it() -> None:
    package = os.path.dirname(uwsgi_deploy.__file__)
    stack = tuple(frames(f"{package}/worker/deadlines.py:189 Deadlines.on_signal", "/srv/a.py:1 f"))
    assert in_request(stack) == stack[1:]
