"""The command up to the moment in which it becomes the server: what it takes, checks, says, and hands over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command, execute_from_command_line
from django.db import OperationalError, connection
from django.test.utils import override_settings

from tests.django_integration.conftest import Started
from uwsgi_deploy import __version__

Run = Callable[..., Started]
Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("command_line", "arguments"),
    [
        ("", []),
        ("8001", ["--http-socket=127.0.0.1:8001"]),
        ("0:8001", ["--http-socket=0.0.0.0:8001"]),
        ("[::1]:8001", ["--http-socket=[::1]:8001"]),
        ("-6 8001", ["--http-socket=[::1]:8001"]),
        ("8001 --ipv6", ["--http-socket=[::1]:8001"]),
        ("unix:/run/blog.sock", ["--http-socket=/run/blog.sock"]),
        ("8001 unix:/run/blog.sock", ["--http-socket=127.0.0.1:8001", "--http-socket=/run/blog.sock"]),
        ("http=8001", ["--http-socket=:8001"]),
        ("http=:8001", ["--http-socket=:8001"]),
        ("socket=/x.sock", ["--socket=/x.sock"]),
        ("socket=127.0.0.1:3031", ["--socket=127.0.0.1:3031"]),
        ("--http-socket :8001 -p 4", ["--http-socket=:8001", "--processes=4"]),
        ("-p4 8001 --threads=2", ["--http-socket=127.0.0.1:8001", "--processes=4", "--threads=2"]),
        ("--workers 4 --no-vacuum", ["--workers=4", "--vacuum=false"]),
        ("--vacuum=false --disable-logging", ["--vacuum=false", "--disable-logging"]),
        ("-ML", ["--master", "--disable-logging"]),
        ("-s /x.sock -C 660 -C", ["--socket=/x.sock", "--chmod-socket=660", "--chmod-socket"]),
        ("--env A=1 --env B=2", ["--env=A=1", "--env=B=2"]),
        ("--module other:app", ["--module=other:app"]),
        ("--pp lib --pp more", ["--pp=lib", "--pp=more"]),
        ("-v 0 --max-vars 10", ["--max-vars=10"]),
        ("-- --http-socket :8001 -v 10", ["--http-socket=:8001", "--max-request-headers=10"]),
        ("8001 -- --pythonpath lib", ["--http-socket=127.0.0.1:8001", "--pythonpath=lib"]),
    ],
)
def test_command_line(runuwsgi: Run, command_line: str, arguments: list[str]) -> None:
    """Every form reaches the server as an option; names that Django has keep Django's meaning before `--`."""
    assert runuwsgi("--skip-checks", *command_line.split()).arguments == arguments


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        ("blog", 'CommandError: "blog" is not a valid port number or address:port pair.'),
        (":8001", 'CommandError: ":8001" is not a valid port number or address:port pair. All interfaces are 0:8001.'),
        ("-6 127.0.0.1:8001", 'CommandError: "127.0.0.1" is not a valid IPv6 address.'),
        ("8001 --wrokers 3", "manage.py runuwsgi: error: unknown option '--wrokers' (did you mean '--workers'?)"),
        ("--processes", "manage.py runuwsgi: error: argument --processes/-p: expected one argument"),
        ("--threads many", "CommandError: command line: 'threads' needs a whole number, not 'many'; such as 4"),
        ("wrokers=3", "CommandError: command line: unknown option 'wrokers' (did you mean 'workers'?)"),
        ("-- --wrokers 3", "CommandError: command line: unknown option '--wrokers' (did you mean '--workers'?)"),
        ("--ini -", "CommandError: command line: only uwsgi-deploy itself can read its options from standard input"),
    ],
)
def test_mistakes(refused: Refused, command_line: str, message: str) -> None:
    """One sentence, with what was meant where that is near."""
    assert refused("--skip-checks", *command_line.split()) == message


def test_missing_file(refused: Refused) -> None:
    """A file that is not there is named."""
    assert "no-such.ini" in refused("--skip-checks", "--ini", "no-such.ini")


def test_option_of_a_later_version(refused: Refused) -> None:
    """An option of uWSGI that is not here yet is no typing error."""
    assert "'mule' is an option of uWSGI" in refused("--mule")


def test_handover(runuwsgi: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings travel as options; where the project lies and what it runs as defaults, which anything may override."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "manage.py"), "runuwsgi"])
    with override_settings(
        UWSGI={"processes": 3, "env": {"A": 1}}, WSGI_APPLICATION="tests.django_integration.urls.application"
    ):
        started = runuwsgi()
    assert started.handover.origin == "settings.UWSGI"
    assert started.options == [("processes", "3"), ("env", "A=1")]
    assert started.defaults == {
        "module": "tests.django_integration.urls:application",
        "chdir": str(tmp_path),
        "http-socket": "127.0.0.1:8000",
    }
    assert started.handover.launcher == (sys.executable, *sys.orig_argv[1:])


def test_address_replaces_that_of_settings(runuwsgi: Run) -> None:
    """As runserver's, an address on the command line is the one; the socket for nginx stays."""
    with override_settings(UWSGI={"http-socket": ":8000", "socket": "/run/blog.sock"}):
        assert runuwsgi("--skip-checks", "8001").options == [("socket", "/run/blog.sock")]
        assert runuwsgi("--skip-checks", "socket=/x.sock").options == [
            ("http-socket", ":8000"),
            ("socket", "/run/blog.sock"),
        ]
        assert len(runuwsgi("--skip-checks", "--http-socket", ":8001").options) == 2
        assert len(runuwsgi("--skip-checks", "processes=2", "--http-socket", ":8001").options) == 2
    with override_settings(UWSGI={"http11_socket": ":8000"}):
        assert runuwsgi("--skip-checks", "8001").options == []


def test_pythonpath_of_django(runuwsgi: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--pythonpath is Django's, and holds for the server's process too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert runuwsgi("--pythonpath", "lib").arguments == [f"--pythonpath={tmp_path / 'lib'}"]


def banner(runuwsgi: Run, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that says where and with how much the server starts."""
    runuwsgi("--skip-checks", *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Django version ")
    assert lines[3] == "Quit the server with CONTROL-C."
    return lines[2].removeprefix(f"Starting uwsgi-deploy {__version__} at ")


def test_banner(
    runuwsgi: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It tells what will be, whichever source decides it; -v 0 tells nothing."""
    one = "1 process x 1 thread"
    assert banner(runuwsgi, capsys) == f"http://127.0.0.1:8000/ ({one})"
    assert banner(runuwsgi, capsys, "-6") == f"http://[::1]:8000/ ({one})"
    assert banner(runuwsgi, capsys, "8001", "socket=/x.sock", "-p", "2") == (
        "http://127.0.0.1:8001/ and /x.sock (2 processes x 1 thread)"
    )
    ini = tmp_path / "app.ini"
    ini.write_text("[uwsgi]\nsocket = 127.0.0.1:3031\n")
    assert banner(runuwsgi, capsys, "--ini", str(ini)) == f"uwsgi://127.0.0.1:3031/ ({one})"
    monkeypatch.setenv("PORT", "9000")
    assert banner(runuwsgi, capsys) == f"http://0.0.0.0:9000/ ({one})"
    runuwsgi("--skip-checks", "-v", "0")
    assert capsys.readouterr().out == ""


def test_precedence(
    runuwsgi: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Command line > environment > UWSGI > ini > built-in default."""
    ini = tmp_path / "app.ini"
    ini.write_text("[uwsgi]\nthreads = 2\n")
    from_ini = ("--ini", str(ini))
    assert "x 2 threads" in banner(runuwsgi, capsys, *from_ini)
    with override_settings(UWSGI={"threads": 3}):
        assert "x 3 threads" in banner(runuwsgi, capsys, *from_ini)
        monkeypatch.setenv("UWSGI_THREADS", "4")
        assert "x 4 threads" in banner(runuwsgi, capsys, *from_ini)
        assert "x 5 threads" in banner(runuwsgi, capsys, *from_ini, "--threads", "5")


def test_allowed_hosts(refused: Refused) -> None:
    """runserver's refusal, in its words."""
    with override_settings(DEBUG=False, ALLOWED_HOSTS=[]):
        assert refused() == "CommandError: You must set settings.ALLOWED_HOSTS if DEBUG is False."


def test_checks_come_first(runuwsgi: Run, refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    """Announced and counted as by runserver; an error stops the start, unless checks are skipped."""
    runuwsgi()
    out = capsys.readouterr().out
    assert out.startswith("Performing system checks...\n\nSystem check identified no issues (0 silenced).\n")
    with override_settings(UWSGI={"wrokers": 3}):
        assert refused() == "System check identified 1 issue (0 silenced)."
        assert refused("--skip-checks") == (
            "CommandError: settings.UWSGI: unknown option 'wrokers' (did you mean 'workers'?)"
        )


def test_exposure(runuwsgi: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """DEBUG and an address for everybody, given on the command line: W001, said once, and silenced as checks are."""

    def warnings(*arguments: str) -> int:
        runuwsgi(*arguments)
        return capsys.readouterr().err.count("uwsgi.W001")

    assert warnings("0:8001") == 1
    assert warnings("--http-socket", ":8001") == 1
    assert warnings("8001") == 0
    with override_settings(UWSGI={"http-socket": ":8000"}):
        assert warnings() == 1
        assert warnings("0:8001") == 1
    with override_settings(SILENCED_SYSTEM_CHECKS=["uwsgi.W001"]):
        assert warnings("0:8001") == 0
    with override_settings(DEBUG=False, ALLOWED_HOSTS=["*"]):
        assert warnings("0:8001") == 0


def test_database_that_does_not_answer(
    runuwsgi: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations are a warning, never an obstacle."""

    def unreachable(_command: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("django.core.management.base.BaseCommand.check_migrations", unreachable)
    runuwsgi()
    assert "Migrations could not be checked: connection refused" in capsys.readouterr().err


def test_connections_are_closed(runuwsgi: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the migration check opened is closed before the process is replaced."""
    monkeypatch.setattr(
        "django.core.management.base.BaseCommand.check_migrations", lambda _command: connection.ensure_connection()
    )
    monkeypatch.setattr(connection, "is_in_memory_db", lambda: False)  # Django keeps those open
    runuwsgi()
    assert connection.connection is None


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--help ends with 0, in groups, with a usage line that can be read."""
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", "runuwsgi", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: manage.py runuwsgi [options] [addrport | unix:/path | fd://N] ...\n")
    for text in ("--skip-checks", "--verbosity", "Sockets:", "--http-socket ADDRESS", "--processes N, -p N"):
        assert text in out
    assert max(map(len, out.splitlines())) <= 120


def test_call_command(runuwsgi: Run) -> None:
    """Python callers reach it as any other command."""
    with pytest.raises(BaseException) as raised:  # noqa: PT011  the stand-in for exec
        call_command("runuwsgi", "8001", "--threads", "2", skip_checks=True)
    assert type(raised.value).__name__ == "Replaced"


def test_tag() -> None:
    """`manage.py check --tag uwsgi` knows the checks."""
    assert "uwsgi" in checks.registry.registry.tags_available()
