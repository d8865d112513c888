"""Which of several applications a request is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from uwsgi_deploy.config.settings.application import ApplicationSettings
from uwsgi_deploy.errors import AppLoadError
from uwsgi_deploy.logs.record import APPLICATION_NUMBER
from uwsgi_deploy.wsgi.apps import load_mounts


def named(name: str) -> Callable[..., Any]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [name.encode()]

    return application


def load(settings: ApplicationSettings) -> Callable[..., Any]:
    name = settings.module or settings.wsgi_file
    if name.startswith("broken"):
        raise AppLoadError(f"cannot load {name}")
    return named(name)


def mounted(*mounts: str, manage: bool = True, **settings: Any) -> Callable[..., tuple[str, str, str]]:
    """A function from path and SCRIPT_NAME to application, SCRIPT_NAME and PATH_INFO."""
    wanted = ApplicationSettings(mount=mounts, manage_script_name=manage, **settings)
    applications = load_mounts(wanted, load, lambda *_: "")

    def ask(path: str, script_name: str = "") -> tuple[str, str, str]:
        environ = {"PATH_INFO": path, "SCRIPT_NAME": script_name}
        status: list[str] = []
        body = b"".join(applications(environ, lambda line, headers: status.append(line)))
        found = body.decode() if status == ["200 OK"] else status[0].split()[0]
        return found, environ["SCRIPT_NAME"], environ["PATH_INFO"]

    return ask


# As uWSGI's own integration test has it: SCRIPT_NAME is what was written, with its slash.
UPSTREAM = [
    ("/foo", "a:app", "/foo", ""),
    ("/foo/", "a:app", "/foo", "/"),
    ("/foo/resource", "a:app", "/foo", "/resource"),
    ("/foobis", "b:app", "/foobis/", ""),
    ("/foobis/", "b:app", "/foobis/", "/"),
    ("/foobis/resource", "b:app", "/foobis/", "/resource"),
    ("/fooanything", "main:app", "", "/fooanything"),
    ("/foobisis/", "main:app", "", "/foobisis/"),
    ("/foofighters", "main:app", "", "/foofighters"),
    ("/", "main:app", "", "/"),
    ("", "main:app", "", ""),
    ("*", "main:app", "", "*"),
    ("//foo", "main:app", "", "//foo"),
    ("/FOO", "main:app", "", "/FOO"),
]


@pytest.mark.parametrize(("path", "application", "script_name", "rest"), UPSTREAM)
def test_found_by_the_path(path: str, application: str, script_name: str, rest: str) -> None:
    ask = mounted("/foo=a:app", "/foobis/=b:app", module="main:app")
    assert ask(path) == (application, script_name, rest)


def test_longest_first_whatever_the_order() -> None:
    for mounts in (("/a=short:app", "/a/b=long:app"), ("/a/b=long:app", "/a=short:app")):
        ask = mounted(*mounts)
        assert ask("/a/b/c") == ("long:app", "/a/b", "/c")
        assert ask("/a/bc") == ("short:app", "/a", "/bc")


@pytest.mark.parametrize(
    ("path", "script_name", "expected"),
    [
        ("/x", "/foo", ("a:app", "/foo", "/x")),  # the web server has cut the path
        ("/foo/x", "", ("main:app", "", "/foo/x")),
        ("/x", "/foo/", ("main:app", "/foo/", "/x")),  # exactly, as in uWSGI
        ("/x", "/other", ("main:app", "/other", "/x")),
    ],
)
def test_found_by_script_name_alone(path: str, script_name: str, expected: tuple[str, str, str]) -> None:
    assert mounted("/foo=a:app", module="main:app", manage=False)(path, script_name) == expected


def test_script_name_of_the_web_server_and_the_path() -> None:
    ask = mounted("/foo=a:app", "/foo/two=b:app", module="main:app")
    assert ask("/foo/x", "/foo") == ("a:app", "/foo", "/x")  # nginx names it and does not cut
    assert ask("/foo/two/x", "/foo") == ("b:app", "/foo/two", "/x")
    assert ask("/x", "/foo") == ("a:app", "/foo", "/x")  # or cuts
    assert ask("/foo/x", "/fo") == ("a:app", "/fo/foo", "/x")
    assert ask("/foo/x", "/shop") == ("a:app", "/shop/foo", "/x")  # X-Forwarded-Prefix


def test_without_an_application_for_the_rest_the_first_one_serves_it() -> None:
    assert mounted("/a=a:app", "/b=b:app")("/x") == ("a:app", "", "/x")
    assert mounted("/a=a:app", "/b=b:app", no_default_app=True)("/x") == ("500", "", "/x")
    assert mounted("/a=a:app", "main:app", no_default_app=True)("/x") == ("main:app", "", "/x")


def test_files_and_modules() -> None:
    ask = mounted("/a=/srv/a.py", "/b=b", wsgi_file="/srv/main.wsgi")
    assert [ask(path)[0] for path in ("/a", "/b", "/c")] == ["/srv/a.py", "b", "/srv/main.wsgi"]


def test_one_that_cannot_be_loaded_stops_the_start() -> None:
    with pytest.raises(AppLoadError, match="cannot load broken"):
        mounted("/a=a:app", "/b=broken")


def test_without_need_app_the_others_are_served() -> None:
    ask = mounted("/a=a:app", "/b=broken", need_app=False)
    assert (ask("/a")[0], ask("/b/x")) == ("a:app", ("500", "/b", "/x"))


def test_requests_know_the_number_of_their_application() -> None:
    applications = load_mounts(
        ApplicationSettings(module="main", mount=("/a=a", "/b=b"), manage_script_name=True), load, lambda *_: ""
    )
    found = []
    for path in ("/", "/a", "/b/x"):
        environ = {"PATH_INFO": path, "SCRIPT_NAME": ""}
        applications(environ, lambda *_: None)
        found.append(environ[APPLICATION_NUMBER])
    assert found == [0, 1, 2]
