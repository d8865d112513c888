"""The command up to the moment in which it becomes the server: what it takes, says, and hands over."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import FlaskGroup

from tests.flask_integration.conftest import Started
from uwsgi_deploy import __version__

Run = Callable[..., Started]
Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("command_line", "arguments"),
    [
        ("", []),
        ("-p 8001", ["--http-socket=127.0.0.1:8001"]),
        ("-h 0.0.0.0", ["--http-socket=0.0.0.0:5000"]),
        ("-h0.0.0.0 -p8001", ["--http-socket=0.0.0.0:8001"]),
        ("--host=localhost --port=8001", ["--http-socket=localhost:8001"]),
        ("-h ::1", ["--http-socket=[::1]:5000"]),
        ("-h unix:///run/hello.sock", ["--http-socket=/run/hello.sock"]),
        ("--http-socket :8001 --processes 4", ["--http-socket=:8001", "--processes=4"]),
        ("-p 8001 --workers=4 --no-vacuum", ["--http-socket=127.0.0.1:8001", "--workers=4", "--vacuum=false"]),
        ("-ML -s /x.sock", ["--master", "--disable-logging", "--socket=/x.sock"]),
        ("--env A=1 --env B=2", ["--env=A=1", "--env=B=2"]),
        ("-w other:app", ["--module=other:app"]),
    ],
)
def test_command_line(flask_uwsgi_run: Run, command_line: str, arguments: list[str]) -> None:
    """-h and -p are Flask's; everything else is the server's, under all its names."""
    assert flask_uwsgi_run(*command_line.split()).arguments == arguments


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        ("--wrokers 3", "Error: command line: unknown option '--wrokers' (did you mean '--workers'?)"),
        ("--threads many", "Error: command line: 'threads' needs a whole number, not 'many'; such as 4"),
        ("-p many", "Error: Invalid value for '--port' / '-p': 'many' is not a valid integer range."),
        ("--processes", "Error: command line: option '--processes' needs a value"),
        ("--ini -", "Error: command line: only uwsgi-deploy itself can read its options from standard input"),
        ("app.ini", "Error: Got unexpected extra argument (app.ini)"),
    ],
)
def test_mistakes(refused: Refused, command_line: str, message: str) -> None:
    """One sentence, with what was meant where that is near."""
    assert refused(*command_line.split()) == message


def test_wrong_configuration(refused: Refused, directory: Path) -> None:
    """app.config["UWSGI"] is named as the place."""
    (directory / "wrong.py").write_text(
        "from flask import Flask\napp = Flask('x')\napp.config['UWSGI'] = {'wrokers': 1}\n"
    )
    assert refused(before=("--app", "wrong")) == (
        "Error: app.config[\"UWSGI\"]: unknown option 'wrokers' (did you mean 'workers'?)"
    )


def test_application_that_is_not_there(refused: Refused, directory: Path) -> None:
    """Flask's own sentences, before anything is started."""
    assert refused(before=("--app", "no_such")) == "Error: Could not import 'no_such'."
    assert "Failed to find attribute 'no_such' in 'hello'." in refused(before=("--app", "hello:no_such"))
    (directory / "broken.py").write_text("import no_such_module\n")
    assert "No module named 'no_such_module'" in refused(before=("--app", "broken"))


def test_handover(flask_uwsgi_run: Run, directory: Path) -> None:
    """Configuration travels as options, what Flask knows as defaults, the application as FLASK_APP."""
    started = flask_uwsgi_run(before=("--app", "hello:special"))
    assert started.handover.origin == 'app.config["UWSGI"]'
    assert started.handover.options == (("threads", "7"),)
    assert dict(started.handover.defaults) == {
        "module": "flask_integration.wsgi:application",
        "chdir": str(directory),
        "http-socket": "127.0.0.1:5000",
    }
    assert started.handover.launcher == (sys.executable, *sys.orig_argv[1:])
    assert started.environment["FLASK_APP"] == f"{directory}/hello:special"
    assert started.environment["FLASK_RUN_FROM_CLI"] == "true"


def test_module_needs_no_flask_application(flask_uwsgi_run: Run) -> None:
    """--module names what is served; nothing else is looked for."""
    started = flask_uwsgi_run("--module", "hello:app", before=("--app", "no_such"))
    assert started.arguments == ["--module=hello:app"]
    assert started.handover.options == ()
    assert " * Serving Flask app 'hello:app'" in started.output


def test_address_replaces_that_of_the_configuration(flask_uwsgi_run: Run, directory: Path) -> None:
    """--port is the port, as in `flask run`; the socket for nginx stays."""
    (directory / "served.py").write_text(
        "from flask import Flask\n"
        "app = Flask('x')\n"
        "app.config['UWSGI'] = {'http-socket': ':8000', 'socket': '/x.sock'}\n"
    )
    assert flask_uwsgi_run("-p", "8001", before=("--app", "served")).handover.options == (("socket", "/x.sock"),)
    assert len(flask_uwsgi_run(before=("--app", "served")).handover.options) == 2


def test_banner(flask_uwsgi_run: Run) -> None:
    """Flask's lines, with where and how much."""
    assert flask_uwsgi_run("--processes", "2").output.splitlines() == [
        " * Serving Flask app 'hello'",
        " * Debug mode: off",
        f" * Running on http://127.0.0.1:5000 (uwsgi-deploy {__version__}, 2 processes x 2 threads)",
        "Press CTRL+C to quit",
    ]


@pytest.mark.parametrize("arguments", [{"before": ("--app", "hello", "--debug")}, {}])
def test_debug(flask_uwsgi_run: Run, arguments: dict[str, tuple[str, ...]]) -> None:
    """The flag reaches the application; the banner says what it does not bring."""
    started = flask_uwsgi_run(*([] if arguments else ["--debug"]), **arguments)
    assert started.environment["FLASK_DEBUG"] == "1"
    assert " * Debug mode: on (without debugger: `flask run --debug` has one; --reload reloads)" in started.output
    assert flask_uwsgi_run("--no-debug").environment["FLASK_DEBUG"] == "0"


def test_environment(flask_uwsgi_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option has a variable; FLASK_RUN_PORT and PORT count as they do elsewhere."""
    monkeypatch.setenv("FLASK_UWSGI_RUN_MAX_REQUESTS", "100")
    monkeypatch.setenv("FLASK_UWSGI_RUN_THREAD", "3")
    monkeypatch.setenv("FLASK_RUN_PORT", "8001")
    started = flask_uwsgi_run()
    assert started.arguments == ["--max-requests=100", "--http-socket=127.0.0.1:8001"]
    assert (
        "environment FLASK_UWSGI_RUN_THREAD: unknown option 'thread' is ignored (did you mean 'threads'?)"
        in started.output
    )

    monkeypatch.setenv("FLASK_UWSGI_RUN_PORT", "8002")
    assert "--http-socket=127.0.0.1:8002" in flask_uwsgi_run().arguments
    monkeypatch.setenv("PORT", "9000")
    assert "--http-socket=127.0.0.1:8002" in flask_uwsgi_run().arguments
    monkeypatch.delenv("FLASK_UWSGI_RUN_PORT")
    monkeypatch.delenv("FLASK_RUN_PORT")
    assert "--http-socket=localhost:9000" in flask_uwsgi_run("-h", "localhost").arguments
    assert "http://0.0.0.0:9000" in flask_uwsgi_run().output


def test_precedence(flask_uwsgi_run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line > environment (Flask's name, then uWSGI's) > app.config > ini > built-in default."""
    (directory / "app.ini").write_text("[uwsgi]\nthreads = 9\nprocesses = 3\n")
    from_ini = ("--ini", "app.ini")
    assert "3 processes x 2 threads" in flask_uwsgi_run(*from_ini).output
    monkeypatch.setenv("UWSGI_THREADS", "4")
    assert "3 processes x 4 threads" in flask_uwsgi_run(*from_ini).output
    monkeypatch.setenv("FLASK_UWSGI_RUN_THREADS", "5")
    assert "3 processes x 5 threads" in flask_uwsgi_run(*from_ini).output
    assert "3 processes x 6 threads" in flask_uwsgi_run(*from_ini, "--threads", "6").output


def create_app() -> Flask:
    """The factory of a project's own command line."""
    return Flask(__name__)


def test_projects_own_command_line(flask_uwsgi_run: Run) -> None:
    """The command is in every FlaskGroup, not only in `flask`."""
    started = flask_uwsgi_run(before=(), cli=FlaskGroup(create_app=create_app))
    assert started.environment["FLASK_APP"].endswith(f"/{__name__}:create_app")


def test_help() -> None:
    """--help of the group and of the command end with 0; the command's is in groups."""
    for arguments in (["uwsgi", "--help"], ["uwsgi", "run", "--help"]):
        result = CliRunner().invoke(FlaskGroup(), arguments)
        assert result.exit_code == 0
    for text in ("-h, --host", "-p, --port", "Sockets:", "--http-socket ADDRESS", "--processes N"):
        assert text in result.output
    assert "-p, --processes" not in result.output
    assert max(map(len, result.output.splitlines())) <= 110


def test_unknown_command() -> None:
    """The group says so as click does."""
    result = CliRunner().invoke(FlaskGroup(), ["uwsgi", "rnu"])
    assert result.exit_code == 2
    assert "No such command 'rnu'" in result.output
    assert os.environ.get("FLASK_RUN_FROM_CLI") == "true"
