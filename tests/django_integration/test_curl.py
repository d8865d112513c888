"""`manage.py uwsgi curl`: the address is the project's, the options and exit codes are those of `uwsgi-deploy curl`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.django_integration.conftest import Project
from tests.support.server import ServerProcess


def curl(project: Project, *words: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(project.directory / "manage.py"), "uwsgi", "curl", *words],
        cwd=directory or project.directory,
        env=ServerProcess(directory=project.directory).environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_address_of_the_project(project: Project, tmp_path: Path) -> None:
    """The one for HTTP, relative to the project and not to who asks; another one when it is named."""
    project.configure("UWSGI = {'socket': 'uwsgi.sock', 'http-socket': 'http.sock'}")
    with ServerProcess(launcher=project.manage):
        done = curl(project, directory=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["cwd"] == str(project.directory)
        # An option that Django has, too, stays Django's.
        shown = curl(project, "-i", "-f", "-H", "X-Token: t", "-v", "1", "/nowhere")
        assert shown.returncode == 22
        assert shown.stdout.startswith("HTTP/1.1 404 ")
        address = ("--address", str(project.directory / "uwsgi.sock"))
        assert json.loads(curl(project, *address, "--protocol", "uwsgi", "/").stdout)["wsgi"] is True
        wrong = curl(project, "-H", "nonsense")
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{'socket': 'uwsgi.sock'}", "uwsgi.sock: No such file"),  # curl's exit code 7
        ("{'http-socket': '127.0.0.1:0'}", "settings.UWSGI: no address of the server is known there (give --address)"),
    ],
)
def test_no_server_to_ask(project: Project, options: str, says: str) -> None:
    project.configure(f"UWSGI = {options}")
    done = curl(project)
    assert done.returncode == (1 if "settings" in says else 7)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
