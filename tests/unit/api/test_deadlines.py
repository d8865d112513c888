"""`deadline()`, `@harakiri` and the rest, as applications call them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import uwsgi_deploy
from uwsgi_deploy.api import deadlines


class Recorder:
    """Takes down what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def limit(self, seconds: float | None, origin: str) -> None:
        self.calls.append(("limit", seconds, origin))

    def extend(self, seconds: float) -> None:
        self.calls.append(("extend", seconds))

    def set_user_limit(self, seconds: float) -> bool:
        self.calls.append(("user", seconds))
        return True

    def enter(self, seconds: float) -> object:
        self.calls.append(("enter", seconds))
        return seconds

    def leave(self, block: object) -> None:
        self.calls.append(("leave", block))

    def name_route(self, environ: dict[str, Any], route: str, name: str) -> None:
        self.calls.append(("route", environ, route, name))

    def timed_out(self) -> None:
        self.calls.append(("timed out",))


@pytest.fixture
def control() -> Iterator[Recorder]:
    """A worker that acts on what is asked for."""
    recorder = Recorder()
    deadlines.install(recorder)
    yield recorder
    deadlines.install(None)


@uwsgi_deploy.harakiri(3)
def view(number: int, *, name: str = "") -> tuple[int, str]:
    """A view."""
    return number, name


def test_nothing_happens_without_a_server() -> None:
    with uwsgi_deploy.deadline(0.001):
        assert view(1, name="a") == (1, "a")
    uwsgi_deploy.extend_deadline(1)
    uwsgi_deploy.set_route({}, route="/x")
    uwsgi_deploy.timed_out()


def test_what_the_server_is_asked_for(control: Recorder) -> None:
    environ: dict[str, Any] = {}
    assert view(2) == (2, "")
    assert (view.__name__, view.__doc__) == ("view", "A view.")
    uwsgi_deploy.harakiri(None)(view)(1)
    uwsgi_deploy.extend_deadline(4)
    uwsgi_deploy.set_route(environ, route="/items/<pk>", name="detail")
    uwsgi_deploy.timed_out()
    assert control.calls == [
        ("limit", 3, "@harakiri"),
        ("limit", None, "@harakiri"),
        ("limit", 3, "@harakiri"),
        ("extend", 4),
        ("route", environ, "/items/<pk>", "detail"),
        ("timed out",),
    ]


def test_blocks_are_left_on_every_path(control: Recorder) -> None:
    with uwsgi_deploy.deadline(5), pytest.raises(KeyError), uwsgi_deploy.deadline(2):
        raise KeyError
    assert control.calls == [("enter", 5), ("enter", 2), ("leave", 2), ("leave", 5)]


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_limit_is_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        uwsgi_deploy.deadline(seconds)
    with pytest.raises(ValueError, match="positive number of seconds"):
        uwsgi_deploy.harakiri(seconds)


def test_a_callback_is_registered_once() -> None:
    @uwsgi_deploy.on_timeout
    def callback() -> None:
        """Nothing."""

    uwsgi_deploy.on_timeout(callback)
    assert deadlines.on_timeout_callbacks.count(callback) == 1
    deadlines.on_timeout_callbacks.remove(callback)
