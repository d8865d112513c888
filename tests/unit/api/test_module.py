"""What the module promises without a server around it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from uwsgi_deploy.api import module
from uwsgi_deploy.api.functions import Functions, Surroundings, public
from uwsgi_deploy.api.module import NAME, Api, UwsgiModule
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.shared.scoreboard import Scoreboard


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The module, as it is before any worker is forked."""
    monkeypatch.setitem(sys.modules, NAME, UwsgiModule(NAME))
    scoreboard = Scoreboard(2)
    yield module.install(Surroundings(Settings(), (), scoreboard, master_pid=0))
    scoreboard.close()


def test_what_is_here_is_not_called_missing(api: Api) -> None:
    """The table of what is missing names nothing that is there."""
    missing = set(module._NOT_HERE.split())
    assert missing & set(vars(sys.modules[NAME])) == set()
    assert missing & set(module.HOOKS) == set()


def test_every_function_explains_itself() -> None:
    functions = dict(public(Functions(Surroundings(Settings(), (), Scoreboard(1), 0))))
    assert {"worker_id", "workers", "reload", "set_user_harakiri", "websocket_handshake", "disconnect"} <= set(
        functions
    )
    assert all(function.__doc__ for function in functions.values())


def test_workers_that_do_not_exist_yet(api: Api) -> None:
    """While the application is loaded there are only numbers."""
    import uwsgi  # type: ignore[import-not-found]

    assert [worker["status"] for worker in uwsgi.workers()] == [b"cheap", b"cheap"]
    assert (uwsgi.worker_id(), uwsgi.request_id(), uwsgi.total_requests(), uwsgi.ready()) == (0, 0, 0, None)
    with pytest.raises(ValueError, match="no socket 0"):
        uwsgi.listen_queue()


def test_hooks(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    """Without one nothing happens; a hook that fails is only reported."""
    import uwsgi

    api.run("atexit")
    assert api.hook("atexit") is None
    calls: list[int] = []
    uwsgi.atexit = lambda: calls.append(1)
    api.run("atexit")
    uwsgi.atexit = lambda: 1 / 0
    api.run("atexit")
    assert calls == [1]
    assert "uwsgi.atexit failed" in "".join(capfd.readouterr())


def test_only_a_requests_thread_has_a_deadline(api: Api) -> None:
    scoreboard = Scoreboard(1)
    functions = Functions(Surroundings(Settings(), (), scoreboard, master_pid=1, wid=1))
    with pytest.raises(RuntimeError, match="runs a request"):
        functions.set_user_harakiri(1)
    scoreboard.close()
