"""The command as a person types it: `python -m uwsgi_deploy` in a process of its own. None of these starts to serve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from uwsgi_deploy import __version__
from uwsgi_deploy.handover import Handover

ROOT = Path(__file__).parents[2]


def run(
    *arguments: str, cwd: Path | None = None, stdin: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """The finished command, in an environment that says nothing but `environ`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("UWSGI_", "_UWSGI_"))}
    for name in ("PORT", "WEB_CONCURRENCY", "DYNO", "HONCHO_PROCESS_NAME"):
        clean.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "uwsgi_deploy", *arguments],
        cwd=cwd or ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), **environ},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(*arguments: str, **keywords: object) -> str:
    """What a command that must not start says: on standard error, exit code 1, no traceback."""
    done = run(*arguments, **keywords)  # type: ignore[arg-type]
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"uwsgi-deploy {__version__}\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_grouped_and_begins_with_examples(option: str) -> None:
    done = run(option)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: uwsgi-deploy [OPTIONS] [TARGETS]...")
    assert done.stdout.index("Examples:") < done.stdout.index("Configuration:") < done.stdout.index("Sockets:")
    assert "-p, --processes N" in done.stdout
    assert "--vacuum / --no-vacuum" in done.stdout


def test_help_does_not_load_the_server() -> None:
    """It has to appear at once. Signals are an exception: as a container's first process it must not miss one."""
    program = (
        "import sys; from uwsgi_deploy.cli.main import main; main(['--help']);"
        "sys.stderr.write(' '.join(name for name in sys.modules if name.startswith('uwsgi_deploy')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "uwsgi_deploy.config.schema" in done.stderr
    layers = {"master", "worker", "api", "wsgi", "shared", "net", "process", "logs", "protocol"}
    loaded = {name for name in done.stderr.split() if name.startswith("uwsgi_deploy.") and name.split(".")[1] in layers}
    assert loaded == {"uwsgi_deploy.process", "uwsgi_deploy.process.signals"}


def test_an_unknown_option_is_one_line_with_the_nearest_name() -> None:
    assert refusal("--wrokers", "4") == ("command line: unknown option '--wrokers' (did you mean '--workers'?)\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "configuration: the -s/--socket option is missing: there is no address to listen on (add --http-socket"),
        (["-p", "four"], "command line: 'processes' needs a whole number, not 'four'"),
        (["-p"], "command line: option '-p' needs a value"),
        (["--mule"], "command line: 'mule' is an option of uWSGI that this version does not have yet"),
        (["--master", "true"], "command line: do not know what to do with 'true'"),
        (
            ["workres"],
            "command line: do not know what to do with 'workres' (did you mean the verb 'workers'?",
        ),
        (["--pidfile", "a.pid", "reload"], "command line: do not know what to do with 'reload' (did you mean the verb"),
        (["nope.ini"], "command line: cannot read the configuration file 'nope.ini': No such file or directory"),
        (["--ini", "nope.ini"], "command line: cannot read the configuration file 'nope.ini'"),
        (["app.yaml"], "command line: 'yaml' is refused: this version reads ini files only"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str) -> None:
    text = refusal(*arguments)
    assert text.startswith(message)
    assert text.count("\n") == 1


def test_errors_of_files_have_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text("[uwsgi]\nhttp-socket = :8000\nstrict = true\nwrokers = 3\n")
    assert refusal("app.ini", cwd=tmp_path) == "app.ini:4: unknown option 'wrokers' (did you mean 'workers'?)\n"


def test_errors_of_the_environment_name_the_variable() -> None:
    text = refusal("--http-socket", ":8000", UWSGI_PROCESSES="many")
    assert text.startswith("environment UWSGI_PROCESSES: 'processes' needs a whole number, not 'many'")


def test_warnings_stand_before_the_error(tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text("[uwsgi]\nhttp-sokcet = :8000\n")
    warning, error = refusal("app.ini", cwd=tmp_path).splitlines()
    assert warning == "app.ini:2: unknown option 'http-sokcet' is ignored (did you mean 'http-socket'?)"
    assert error.startswith("configuration: the -s/--socket option is missing")


def test_standard_input_as_a_file() -> None:
    assert refusal("--ini", "-", stdin="[uwsgi]\nprocesses = x\n").startswith("standard input:2: 'processes' needs")


def test_show_config_prints_options_with_their_origins(tmp_path: Path) -> None:
    """It then goes on to start, which the missing address ends here."""
    (tmp_path / "app.ini").write_text("[uwsgi]\nthreads = 2\npythonpath = %d\n[prod]\nini = :uwsgi\nthreads = 3\n")
    text = refusal("app.ini:prod", "--show-config", "-p4", cwd=tmp_path, UWSGI_MODULE="app:app")
    *shown, error = [" ".join(line.split()) for line in text.splitlines()]
    assert shown == [
        ";uWSGI instance configuration",
        "[uwsgi]",
        "module = app:app ; environment UWSGI_MODULE",
        f"pythonpath = {tmp_path}/ ; app.ini:3",
        "processes = 4 ; command line",
        "threads = 3 ; app.ini:6",
        ";end of configuration",
    ]
    assert error.startswith("configuration: the -s/--socket option is missing")


def test_a_framework_hands_its_options_over() -> None:
    handover = Handover("settings.UWSGI", options=(("wrokers", "3"),), defaults=(("http-socket", ":8000"),))
    assert refusal(**handover.to_environment()) == (
        "settings.UWSGI: unknown option 'wrokers' (did you mean 'workers'?)\n"
    )


def test_an_application_that_fails_to_import_ends_with_22_and_its_traceback_last(tmp_path: Path) -> None:
    """The platform's port is the address; what is broken is the application."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no database')\n")
    done = run("broken:app", cwd=tmp_path, PORT="0")
    assert done.returncode == 22, done
    assert "RuntimeError: no database" in done.stderr
    assert "broken" in done.stderr.splitlines()[-1]


def test_an_application_that_does_not_exist_is_one_line_in_the_end(tmp_path: Path) -> None:
    done = run("nosuchmodule:app", cwd=tmp_path, PORT="0")
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert "nosuchmodule" in done.stderr.splitlines()[-1]
