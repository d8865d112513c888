"""What a newcomer gets wrong is one line with its place; what was said once is not said again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from uwsgi_deploy.process.exit_codes import ExitCode

PATIENCE = 30.0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("http = :99999", "app.ini:3: 'http': port 99999 in ':99999' is above 65535"),
        ("http = localhost", "app.ini:3: 'http': 'localhost' has no port (write localhost:8000"),
        ("https-socket = localhost:8000x,c.pem,k.pem", "app.ini:3: 'https-socket': '8000x' in 'localhost:8000x' is no"),
    ],
)
def test_a_mistake_that_the_start_finds(tmp_path: Path, line: str, says: str) -> None:
    """Addresses are read when the server starts, and told as what the parser finds."""
    (tmp_path / "app.ini").write_text(f"[uwsgi]\nmodule = hello\n{line}\n")
    with ServerProcess("app.ini", directory=tmp_path, wait=False) as server:
        assert server.wait_end() == ExitCode.FAILED
        assert server.log_lines[-1].startswith(says)
    assert [path.name for path in tmp_path.iterdir()] == ["app.ini"]


def test_warnings_are_said_once(tmp_path: Path) -> None:
    """The server checks what the command line has checked, and knows no places: it keeps quiet about what was said."""
    (tmp_path / "app.ini").write_text(
        "[uwsgi]\nmodule = hello\nmount = /x=hello\nno-default-app = true\n"
        "shared-socket = 127.0.0.1:0\nhttp-socket = =0\nstatic-map = /s=.\nmime-file = none\n"
    )
    with ServerProcess("app.ini", directory=tmp_path, wait=False) as server:
        server.wait_for_log(r"^\*\*\* uwsgi-deploy is ready", timeout=PATIENCE)
        about = [line for line in server.log_lines if "manage-script-name" in line or "shared-socket" in line]
        assert len(about) == 1, about
        assert about[0].startswith("app.ini:3: without 'manage-script-name'")
        assert "*** WARNING: mime-file: none cannot be read: No such file or directory ***" in server.log_lines
        assert server.stop() == ExitCode.OK
