"""PORT, WEB_CONCURRENCY and what the platforms expect."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.platform import SOCKET_OPTIONS, ActivatedSocket, activated_sockets
from uwsgi_deploy.config.settings import SocketSettings


def test_port_is_an_http_socket_when_nothing_listens() -> None:
    configuration = configure(environ={"PORT": "5000"})
    assert configuration.settings.sockets.http_socket == (":5000",)
    assert configuration.origins["http-socket"] == "environment PORT"


def test_every_socket_counts_as_one() -> None:
    """Those of the router are named besides; `http-to-https` alone serves nobody."""
    assert set(SocketSettings().addresses) | {"http", "https", "https2"} <= SOCKET_OPTIONS


@pytest.mark.parametrize("option", ["--http-socket", "--http11-socket", "--socket", "-s", "--uwsgi-socket", "--http"])
def test_port_never_adds_to_a_socket_that_somebody_wrote(option: str) -> None:
    settings = configure(option, ":1", environ={"PORT": "5000"}).settings
    assert [text for _, text, _ in settings.listening] == [":1"]


def test_port_is_stronger_than_the_default_of_a_framework_command() -> None:
    sockets = configure(environ={"PORT": "5000"}, defaults={"http-socket": "127.0.0.1:8000"}).settings.sockets
    assert sockets.http_socket == (":5000",)


@pytest.mark.parametrize("port", ["http", "70000", "-1", "80 80"])
def test_a_port_that_is_none_is_reported(port: str) -> None:
    configuration = configure(environ={"PORT": port})
    assert configuration.settings.sockets.http_socket == ()
    assert configuration.warnings == (f"environment PORT: '{port}' is not a port number and is ignored",)


def test_an_empty_port_is_no_port() -> None:
    assert configure(environ={"PORT": ""}).warnings == ()


def test_heroku_hears_about_a_socket_that_ignores_its_port() -> None:
    environ = {"PORT": "5000", "DYNO": "web.1"}
    assert "R10" in configure("--http-socket", ":8000", environ=environ).warnings[0]
    assert configure("--http-socket", ":$(PORT)", environ=environ).warnings == ()


def test_web_concurrency_is_the_number_of_processes() -> None:
    configuration = configure(environ={"WEB_CONCURRENCY": "3"})
    assert configuration.settings.workers.processes == 3
    assert configuration.origins["processes"] == "environment WEB_CONCURRENCY"


def test_web_concurrency_never_overrides() -> None:
    assert configure("--workers", "2", environ={"WEB_CONCURRENCY": "3"}).settings.workers.processes == 2


@pytest.mark.parametrize("text", ["0", "many", "-2", "1.5"])
def test_a_useless_web_concurrency_is_one_with_a_warning(text: str) -> None:
    configuration = configure(environ={"WEB_CONCURRENCY": text})
    assert configuration.settings.workers.processes == 1
    assert configuration.warnings == (f"environment WEB_CONCURRENCY: '{text}' is not a number of processes; 1 is used",)


def test_heroku_keeps_connections_longer_and_stops_sooner() -> None:
    settings = configure(environ={"DYNO": "web.1"}).settings
    assert settings.http.http_keepalive_timeout == 100
    assert settings.workers.worker_reload_mercy == 25


def test_honcho_gives_five_seconds() -> None:
    assert configure(environ={"HONCHO_PROCESS_NAME": "web.1"}).settings.workers.worker_reload_mercy == 4


def test_what_somebody_wrote_is_stronger_than_a_convention() -> None:
    settings = configure("--http-keepalive-timeout", "5", environ={"DYNO": "web.1"}).settings
    assert settings.http.http_keepalive_timeout == 5


SYSTEMD = {"LISTEN_PID": "77", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:uwsgi-app@blog.socket"}


def test_sockets_of_the_service_manager_are_served_when_no_other_is_named() -> None:
    """HTTP, or uwsgi for a socket unit that is called so; they also take the place of PORT and of command defaults."""
    environ = {**SYSTEMD, "PORT": "5000"}
    facts = Facts(environ=environ, pid=77)
    configuration = configure(defaults={"http-socket": "127.0.0.1:8000"}, facts=facts)
    assert configuration.settings.sockets.http_socket == ("fd://3",)
    assert configuration.settings.sockets.socket == ("fd://4",)
    assert configuration.origins["http-socket"] == "environment LISTEN_FDS"


def test_sockets_of_the_service_manager_add_to_nothing_that_somebody_wrote() -> None:
    sockets = configure("--http-socket", "fd://web", facts=Facts(environ=SYSTEMD, pid=77)).settings.sockets
    assert sockets.http_socket == ("fd://web",)
    assert sockets.socket == ()


@pytest.mark.parametrize("variables", [{"LISTEN_PID": "78"}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "many"}])
def test_sockets_of_another_process_are_not_ours(variables: dict[str, str]) -> None:
    assert activated_sockets({**SYSTEMD, **variables}, 77) == ()


def test_sockets_may_have_no_names() -> None:
    unnamed = activated_sockets({"LISTEN_PID": "77", "LISTEN_FDS": "2"}, 77)
    assert unnamed == (ActivatedSocket(3, ""), ActivatedSocket(4, ""))


def test_heroku_gets_answers_before_its_router_gives_up() -> None:
    assert configure().settings.harakiri.harakiri == 60
    configuration = configure(environ={"DYNO": "web.1"})
    assert configuration.settings.harakiri.harakiri == 25
    assert configuration.origins["harakiri"] == "environment DYNO"
    assert configure("--harakiri", "40", environ={"DYNO": "web.1"}).settings.harakiri.harakiri == 40
