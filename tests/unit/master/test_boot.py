"""Start-up's own rules; whole servers are in tests/integration/test_processes.py."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from uwsgi_deploy.config.settings import ApplicationSettings, Settings, SocketSettings, WorkerSettings
from uwsgi_deploy.errors import AppLoadError, ConfigError
from uwsgi_deploy.master.boot import run_server
from uwsgi_deploy.master.vacuum import Vacuum
from uwsgi_deploy.net.listener import bind_listeners
from uwsgi_deploy.process.pidfile import write_pidfile

SOCKETS = SocketSettings(http_socket=("127.0.0.1:0",))
APPLICATION = ApplicationSettings(module="app")


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (Settings(application=APPLICATION), ConfigError, "no address to listen on"),
        (Settings(sockets=SOCKETS), AppLoadError, "no application is named"),
        (
            Settings(sockets=SOCKETS, application=APPLICATION, workers=WorkerSettings(processes=0)),
            ConfigError,
            "'processes' must be at least 1",
        ),
        (
            Settings(sockets=SocketSettings(socket=("8000",)), application=APPLICATION),
            ConfigError,
            "did you mean :8000",
        ),
    ],
)
def test_wrong_settings_touch_nothing(settings: Settings, kind: type[Exception], message: str) -> None:
    """What is wrong with the settings is raised before signals, descriptors or files are touched."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    descriptors = os.listdir("/proc/self/fd")
    with pytest.raises(kind, match=message):
        run_server(settings)
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert os.listdir("/proc/self/fd") == descriptors


def test_vacuum_is_the_creators_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was forked from the server and runs its cleanup removes nothing; the server itself does, once."""
    monkeypatch.chdir(tmp_path)
    vacuum = Vacuum()
    vacuum.add_pidfile(write_pidfile("app.pid", os.getpid()))
    vacuum.add_listeners(bind_listeners(SocketSettings(socket=("a.sock",))))
    pid = os.fork()
    if pid == 0:
        vacuum.clean()
        os._exit(0)
    os.waitpid(pid, 0)
    assert sorted(os.listdir(".")) == ["a.sock", "app.pid"]
    vacuum.clean()
    vacuum.clean()
    assert os.listdir(".") == []
