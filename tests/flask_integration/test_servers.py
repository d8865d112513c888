"""Real servers, started by `flask uwsgi run` for each way to name an application, and asked over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.flask_integration.conftest import HELLO
from tests.support.server import ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until
from uwsgi_deploy import __version__

FLASK = (sys.executable, "-m", "flask")
SCRIPT = (str(Path(sys.executable).with_name("flask")),)
OWN_COMMAND_LINE = """\
from flask.cli import FlaskGroup
from hello import create_app

if __name__ == "__main__":
    FlaskGroup(create_app=create_app)()
"""


def facts(server: ServerProcess) -> dict[str, Any]:
    """What the application's only page tells about its process."""
    response = server.get("/")
    assert response.status == 200, server.log
    content: dict[str, Any] = json.loads(response.body)
    return content


def launcher(*before: str, command: Sequence[str] = FLASK) -> list[str]:
    return [*command, *before, "uwsgi", "run"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A project: a module, the same in a package, and a module that calls app.run() as it must not."""
    (tmp_path / "hello.py").write_text(HELLO)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "web.py").write_text(HELLO)
    (tmp_path / "careless.py").write_text(f"{HELLO}\napp.run(port=1)\n")
    return tmp_path


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("hello", "app"),
        ("hello.py", "app"),
        ("hello:special", "special"),
        ("hello:create_app", "factory"),
        ("hello:create_app('given', threads=3)", "given"),
        ("package.web", "app"),
        ("package/web.py:special", "special"),
        ("careless", "app"),
    ],
)
def test_application(directory: Path, app: str, name: str) -> None:
    """Each form of --app leads the server to the application that `flask run` would serve."""
    with ServerProcess("-p", "0", launcher=launcher("--app", app), directory=directory) as server:
        assert facts(server) == {
            "name": name,
            "debug": False,
            "cwd": str(directory),
            "from_cli": "true",
            "handover": False,
        }
        assert f" * Serving Flask app '{app}'" in server.log
        assert server.stop() == 0
        assert server.session_pids() == set()


@pytest.mark.parametrize("name", ["wsgi.py", "app.py"])
def test_discovered_application(directory: Path, name: str) -> None:
    """Without --app: wsgi.py or app.py of the directory."""
    (directory / name).write_text(HELLO)
    with ServerProcess("-p", "0", launcher=launcher(command=SCRIPT), directory=directory) as server:
        assert facts(server)["name"] == "app"


def test_environment_files(directory: Path) -> None:
    """.flaskenv and .env are read by Flask, for the command's options too; the environment wins over both."""
    (directory / ".flaskenv").write_text("FLASK_APP=hello:special\nFLASK_UWSGI_RUN_PORT=0\n")
    (directory / ".env").write_text("FLASK_UWSGI_RUN_THREADS=3\n")
    with ServerProcess(launcher=launcher(), directory=directory) as server:
        assert facts(server)["name"] == "special"
        assert f"(uwsgi-deploy {__version__}, 1 process x 3 threads)" in server.log
    environment = {"FLASK_APP": "hello"}
    with ServerProcess(launcher=launcher(), directory=directory, environment=environment) as server:
        assert facts(server)["name"] == "app"


def test_debug(directory: Path) -> None:
    """--debug reaches the application in the workers; code that sets it does not, as under `flask run`."""
    (directory / "forced.py").write_text(f"{HELLO}\napp.debug = True\n")
    with ServerProcess("-p", "0", launcher=launcher("--app", "forced"), directory=directory) as server:
        assert facts(server)["debug"] is False
    with ServerProcess("-p", "0", "--debug", launcher=launcher("--app", "hello"), directory=directory) as server:
        assert facts(server)["debug"] is True


def test_projects_own_command_line(directory: Path) -> None:
    """A script with a FlaskGroup of its own has the command too."""
    (directory / "manage.py").write_text(OWN_COMMAND_LINE)
    command = (sys.executable, "manage.py")
    with ServerProcess("-p", "0", launcher=launcher(command=command), directory=directory) as server:
        assert facts(server)["name"] == "factory"


def test_working_directory_of_the_server(directory: Path, tmp_path: Path) -> None:
    """--chdir moves the server, not the application's place."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ServerProcess(
        "-p", "0", "--chdir", elsewhere, launcher=launcher("--app", "hello"), directory=directory
    ) as server:
        assert facts(server)["cwd"] == str(elsewhere)


def test_port_of_the_platform(directory: Path) -> None:
    """PORT without any address: all interfaces on it, with WEB_CONCURRENCY workers."""
    platform = {"PORT": "0", "WEB_CONCURRENCY": "2", "FLASK_APP": "hello"}
    with ServerProcess(launcher=launcher(), directory=directory, environment=platform) as server:
        assert facts(server)["name"] == "app"
        assert sorted(server.worker_pids) == [1, 2]


def test_the_http_router(directory: Path) -> None:
    """`--http` is an address like another one: no other is added, and the banner names it."""
    environment = {"FLASK_APP": "hello"}
    with ServerProcess(
        "--http", "127.0.0.1:0", launcher=launcher(), directory=directory, environment=environment
    ) as server:
        assert facts(server)["name"] == "app"
        assert " * Running on http://127.0.0.1:0 " in server.log
        assert len(server.addresses) == 1
        assert server.stop() == 0


def test_every_source(directory: Path) -> None:
    """The server's own account of where each value came from."""
    (directory / "app.ini").write_text("[uwsgi]\nthreads = 9\nlog-slow = 1s\n")
    options = ("-p", "0", "--ini", "app.ini", "--show-config")
    variables = {"UWSGI_LISTEN": "66"}
    started = ServerProcess(*options, launcher=launcher("--app", "hello"), directory=directory, environment=variables)
    with started as server:
        for name, value, origin in (
            ("threads", "2", r'app\.config\["UWSGI"\]'),
            ("listen", "66", "environment UWSGI_LISTEN"),
            ("log-slow", "1s", r"app\.ini:3"),
            ("http-socket", r"127\.0\.0\.1:0", "command line"),
        ):
            server.wait_for_log(rf"^{name} = {value}\s+; {origin}$")


# --- what goes wrong, and what must not ------------------------------------------------------------------------------


def run(directory: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A `flask` command that ends by itself; `path` is in front of everything that can be imported."""
    environment = ServerProcess(directory=directory).environment
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), environment["PYTHONPATH"]])
    return subprocess.run(
        [*FLASK, "--app", "hello", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_port_in_use(directory: Path) -> None:
    """One line that names the address; exit code 1; no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run(directory, "uwsgi", "run", "-p", str(port))
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "damage",
    ["raise ImportError('half installed')", "import no_such_module", ""],
    ids=["import error", "missing dependency", "empty"],
)
def test_half_broken_installation(directory: Path, damage: str) -> None:
    """Other flask commands never notice; this one says what is wrong, in a sentence."""
    broken = directory / "broken/uwsgi_deploy"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"{damage}\n")
    for arguments in (["--help"], ["routes"], ["run", "--help"]):
        result = run(directory, *arguments, path=broken.parent)
        assert (result.returncode, result.stderr) == (0, "")
    result = run(directory, "uwsgi", "run", path=broken.parent)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: uwsgi-deploy cannot be imported: ")
    assert result.stderr.count("\n") == 1


def test_entry_point_imports_click_only(directory: Path) -> None:
    """Flask imports it for every command: nothing of ours but the module itself is loaded."""
    code = (
        "import sys, click; known = {*sys.modules}; import flask_integration.cli; print(sorted({*sys.modules} - known))"
    )
    environment = ServerProcess(directory=directory).environment
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['flask_integration', 'flask_integration.cli']"


def test_the_verbs_find_the_applications_server(directory: Path) -> None:
    """By its directory, also when the application cannot be loaded any more."""
    with ServerProcess("--port", "0", directory=directory, launcher=launcher("--app", "hello")) as server:
        result = verb(server, "status", "--json", launcher=[*FLASK, "--app", "hello", "uwsgi"])
        assert json.loads(result.stdout)["pid"] == server.pid
        flask = [*FLASK, "--app", "hello", "uwsgi"]
        assert json.loads(verb(server, "inflight", "--json", launcher=flask).stdout) == {"requests": [], "total": 0}
        shown = json.loads(verb(server, "dump", "--json", launcher=flask).stdout)["workers"]
        assert {worker["id"]: worker["pid"] for worker in shown} == server.worker_pids
        listed = verb(server, "harakiri", "list", "--json", launcher=flask)
        assert json.loads(listed.stdout)["directory"] == json.loads(result.stdout)["reports"]
        assert verb(server, "harakiri", "show", "zzz", launcher=flask).returncode == 1
        (directory / "hello.py").write_text("syntax error")
        result = verb(server, "stop", launcher=[*FLASK, "--app", "hello", "uwsgi"])
        assert (result.returncode, result.stdout) == (0, f"stopped (pid {server.pid})\n")
        assert 'app.config["UWSGI"] is not known' in result.stderr
        assert server.wait_end(1) == 0


def test_a_failed_reload_is_told(directory: Path) -> None:
    """flask uwsgi reload --wait: exit code and reason; the old code serves on. And restart."""
    source = directory / "hello.py"
    right = source.read_text()
    flask = [*FLASK, "--app", "hello", "uwsgi"]
    with ServerProcess("--port", "0", directory=directory, launcher=launcher("--app", "hello")) as server:
        before = facts(server)
        source.write_text("def broken(:\n")
        result = verb(server, "reload", "--wait", launcher=flask)
        assert (result.returncode, result.stdout) == (1, "")
        assert "SyntaxError" in result.stderr
        assert facts(server) == before
        source.write_text(f"{right}\n# mended\n")
        assert verb(server, "restart", launcher=flask).returncode == 0
        assert facts(server)
        assert "replacing worker 1" in verb(server, "workers", "recycle", "1", launcher=flask).stdout


@pytest.mark.parametrize("broken_at", ["start", "later"])
def test_reload(directory: Path, broken_at: str) -> None:
    """--reload serves changed code; broken code is shown and waited for, also when it was broken from the beginning."""
    source = directory / "hello.py"
    if broken_at == "start":
        source.write_text("def broken(:\n")
    options = ("-p", "0", "--reload", "--py-autoreload", "0.2")
    with ServerProcess(
        *options, launcher=launcher("--app", "hello"), directory=directory, wait=broken_at == "later", timeout=60
    ) as server:
        if broken_at == "later":
            facts(server)
            source.write_text("def broken(:\n")
        server.wait_for_log("^SyntaxError: ", timeout=60, count=2 if broken_at == "start" else 1)
        source.write_text(HELLO.replace('create_app("app")', 'create_app("mended")'))
        if broken_at == "start":
            server.wait_ready()
        wait_until(lambda: facts(server)["name"] == "mended", 60, what="the new code")
