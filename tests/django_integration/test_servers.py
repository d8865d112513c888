"""Real servers, started in each way that Django knows, and asked over HTTP."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from calendar import timegm
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.django_integration.conftest import Project
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

SETTINGS = "company.sites.main.settings"
DJANGO_ADMIN = Path(sys.executable).with_name("django-admin")


def facts(server: ServerProcess) -> dict[str, Any]:
    """What the project's only page tells about its process."""
    response = server.get("/")
    assert response.status == 200, server.log
    content: dict[str, Any] = json.loads(response.body)
    return content


def run(project: Project, command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command,
        cwd=project.directory,
        env=ServerProcess(directory=project.directory, environment=environment).environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_manage_py(project: Project) -> None:
    """From any directory: the project's own is the server's, its settings are the application's, and nothing leaks."""
    with ServerProcess("127.0.0.1:0", "--threads", "2", launcher=project.manage) as server:
        told = facts(server)
        assert told["settings"] == told["variable"] == SETTINGS
        assert told["cwd"] == str(project.directory)
        assert told["path"][0] == str(project.directory)
        assert told["wsgi"] is True
        assert told["handover"] is False
        assert "Performing system checks..." in server.log
        assert "unapplied migration(s)" in server.log
        assert "(1 process x 2 threads)" in server.log
        assert server.stop() == 0
        assert server.session_pids() == set()
    assert not (project.directory / "db.sqlite3-journal").exists()


def test_the_http_router(project: Project) -> None:
    """`--http` is an address like another one: no other is added, and the banner names it."""
    with ServerProcess("--http", "127.0.0.1:0", launcher=project.manage) as server:
        assert facts(server)["settings"] == SETTINGS
        assert "Starting uwsgi-deploy" in server.log
        assert "at http://127.0.0.1:0/ (1 process x 1 thread)" in server.log
        assert len(server.addresses) == 1
        assert server.stop() == 0


def test_master_does_not_hold_django(project: Project) -> None:
    """The process was replaced: what Django maps into memory is in the template and the workers only."""
    with ServerProcess("127.0.0.1:0", launcher=project.manage) as server:
        facts(server)
        sqlite = "_sqlite3"  # an extension module that Django's database layer imports
        assert sqlite not in Path(f"/proc/{server.pid}/maps").read_text()
        assert sqlite in Path(f"/proc/{server.worker_pids[1]}/maps").read_text()


@pytest.mark.parametrize("launcher", [[str(DJANGO_ADMIN)], [sys.executable, "-m", "django"]], ids=["admin", "module"])
def test_django_admin(project: Project, tmp_path: Path, launcher: list[str]) -> None:
    """Without manage.py the project is found through --settings and --pythonpath, and lies in BASE_DIR."""
    options = ("127.0.0.1:0", "--settings", SETTINGS, "--pythonpath", project.directory)
    with ServerProcess("runuwsgi", *options, launcher=launcher, directory=tmp_path) as server:
        told = facts(server)
        assert told["settings"] == SETTINGS
        assert told["cwd"] == str(project.directory)


def test_without_wsgi_application(project: Project) -> None:
    """Where settings name no application, Django's own is served, as by runserver."""
    project.configure("WSGI_APPLICATION = None")
    with ServerProcess("127.0.0.1:0", launcher=project.manage) as server:
        assert facts(server)["wsgi"] is False


def test_unix_socket_is_relative_to_the_caller(project: Project, tmp_path: Path) -> None:
    """`unix:x.sock` is in the directory where the command was typed."""
    with ServerProcess("unix:x.sock", launcher=project.manage, directory=tmp_path) as server:
        assert (tmp_path / "x.sock").is_socket()
        assert facts(server)["settings"] == SETTINGS
        assert server.stop() == 0
        assert not (tmp_path / "x.sock").exists()


@pytest.mark.parametrize(
    "form", ["http-socket=127.0.0.1:0", "--http-socket=127.0.0.1:0", "-- --http-socket 127.0.0.1:0"]
)
def test_other_forms(project: Project, form: str) -> None:
    """The first django-uwsgi's form, an option, and an option after `--`."""
    with ServerProcess(*form.split(), launcher=project.manage) as server:
        assert facts(server)["settings"] == SETTINGS


def test_port_of_the_platform(project: Project) -> None:
    """PORT without any address: all interfaces on it, with WEB_CONCURRENCY workers."""
    platform = {"PORT": "0", "WEB_CONCURRENCY": "2"}
    with ServerProcess(launcher=project.manage, environment=platform) as server:
        assert facts(server)["settings"] == SETTINGS
        assert sorted(server.worker_pids) == [1, 2]
        assert "uwsgi.W001" in server.log  # DEBUG is on


def test_every_source(project: Project) -> None:
    """The server's own account of where each value came from."""
    (project.directory / "app.ini").write_text("[uwsgi]\nthreads = 2\nlisten = 64\nlog-slow = 1s\n")
    project.configure('UWSGI = {"threads": 3, "listen": 65, "max-requests": lambda settings: 100}')
    options = ("127.0.0.1:0", "--ini", "app.ini", "--show-config", "--threads", "5")
    launcher = project.manage
    variables = {"UWSGI_LISTEN": "66", "UWSGI_THREADS": "4"}
    with ServerProcess(*options, launcher=launcher, directory=project.directory, environment=variables) as server:
        for name, value, origin in (
            ("threads", "5", "command line"),
            ("listen", "66", "environment UWSGI_LISTEN"),
            ("max-requests", "100", r"settings\.UWSGI"),
            ("log-slow", "1s", r"app\.ini:4"),
            ("module", r"company\.sites\.main\.wsgi:application", r"settings\.UWSGI \(default\)"),
        ):
            server.wait_for_log(rf"^{name} = {value}\s+; {origin}$")


def test_output_comes_in_order(project: Project) -> None:
    """What the command wrote is there before the server's first line, though standard output is a file."""
    with ServerProcess("127.0.0.1:0", launcher=project.manage) as server:
        log = server.log
        assert log.index("Performing system checks") < log.index("Quit the server") < log.index("*** Starting")


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_port_in_use(project: Project) -> None:
    """One line that names the address; exit code 1; no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run(project, [*project.manage, str(port)])
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_application_that_fails(project: Project) -> None:
    """The traceback of the project's own code, and uWSGI's exit code."""
    (project.directory / "company/sites/main/wsgi.py").write_text("import no_such_module\n")
    result = run(project, [*project.manage, "127.0.0.1:0"])
    assert result.returncode == 22
    assert "No module named 'no_such_module'" in result.stderr


def test_checks_that_fail(project: Project) -> None:
    """Every problem of UWSGI in Django's form, and nothing started."""
    project.configure('UWSGI = {"wrokers": 2, "threads": "many"}')
    result = run(project, [*project.manage, "127.0.0.1:0"])
    assert result.returncode == 1
    assert "(uwsgi.E002) settings.UWSGI: unknown option 'wrokers'.\n\tHINT: did you mean 'workers'?" in result.stderr
    assert "2 issues" in result.stderr
    assert "*** Starting" not in result.stdout + result.stderr


@pytest.mark.parametrize("command", [["runuwsgi", "--help"], ["help", "runuwsgi"], ["check", "--tag", "uwsgi"]])
def test_other_commands(project: Project, command: list[str]) -> None:
    """They end with 0."""
    result = run(project, [sys.executable, "manage.py", *command])
    assert (result.returncode, result.stderr) == (0, "")


def test_read_only_home(project: Project) -> None:
    """No file is needed to start: neither a home directory nor a writable place."""
    environment = {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    project.configure('DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}')
    os.chmod(project.directory, 0o555)
    with ServerProcess("127.0.0.1:0", launcher=project.manage, environment=environment) as server:
        assert facts(server)["settings"] == SETTINGS
        assert "ERROR" not in server.log
    os.chmod(project.directory, 0o755)


def test_log_keeps_the_time_zone_it_was_started_with(project: Project) -> None:
    """Django sets TZ to its TIME_ZONE while the command runs; that is the application's time, not the log's."""
    with ServerProcess("127.0.0.1:0", launcher=project.manage, environment={"TZ": "UTC"}) as server:
        starting = re.search(r"\*\*\* Starting .* on \[(.*)\] \*\*\*", server.log)
        assert starting
        assert abs(timegm(time.strptime(starting[1])) - time.time()) < 600


def test_the_verbs_find_the_projects_server(project: Project) -> None:
    """By the project's directory, from anywhere; Django's own options may stand behind the verb."""
    with ServerProcess("127.0.0.1:0", launcher=project.manage) as server:
        manage = [*project.manage[:-1], "uwsgi"]
        result = run(project, [*manage, "status", "--json", "--no-color", "--pythonpath", "."])
        assert json.loads(result.stdout)["pid"] == server.pid
        assert json.loads(run(project, [*manage, "inflight", "--json"]).stdout) == {"requests": [], "total": 0}
        shown = json.loads(run(project, [*manage, "dump", "--json"]).stdout)["workers"]
        assert {worker["id"]: worker["pid"] for worker in shown} == server.worker_pids
        listed = run(project, [*manage, "harakiri", "list", "--json"])
        assert json.loads(listed.stdout)["directory"] == json.loads(result.stdout)["reports"]
        assert run(project, [*manage, "harakiri", "show", "zzz"]).returncode == 1
        assert run(project, [*manage, "reload"]).returncode == 0
        server.wait_for_log("reload complete", timeout=60)
        assert run(project, [*manage, "stop"]).returncode == 0
        assert server.wait_end(1) == 0
        # 4: servers of others run, in which a project is not interested even if there is only one.
        assert run(project, [*manage, "status"]).returncode in (3, 4)


def test_a_failed_reload_is_told(project: Project) -> None:
    """manage.py uwsgi reload --wait: exit code and reason; the old code serves on. And restart."""
    urls = project.directory / "company/sites/main/urls.py"
    right = urls.read_text()
    with ServerProcess("127.0.0.1:0", launcher=project.manage) as server:
        manage = [*project.manage[:-1], "uwsgi"]
        urls.write_text("def broken(:\n")
        result = run(project, [*manage, "reload", "--wait"])
        assert (result.returncode, result.stdout) == (1, "")
        assert "SyntaxError" in result.stderr
        assert str(urls) in result.stderr
        assert facts(server)["wsgi"] is True
        urls.write_text(right.replace('"wsgi":', '"mended": True, "wsgi":'))
        assert run(project, [*manage, "restart"]).returncode == 0
        assert facts(server)["mended"] is True
        assert "replacing worker 1" in run(project, [*manage, "workers", "recycle", "1"]).stdout


@pytest.mark.parametrize("broken_at", ["start", "later"])
def test_reload(project: Project, broken_at: str) -> None:
    """--reload serves changed code; broken code is shown and waited for, also when it was broken from the beginning."""
    urls = project.directory / "company/sites/main/urls.py"
    right = urls.read_text()
    if broken_at == "start":
        urls.write_text("def broken(:\n")
    options = ("127.0.0.1:0", "--reload", "--py-autoreload", "0.2")
    with ServerProcess(*options, launcher=project.manage, timeout=60) as server:
        if broken_at == "later":
            facts(server)
            urls.write_text("def broken(:\n")
        server.wait_for_log("SyntaxError", timeout=60)
        urls.write_text(right.replace('"wsgi":', '"mended": True, "wsgi":'))
        wait_until(lambda: b"mended" in server.get("/").body, 60, what="the new code")
