"""`flask uwsgi curl`: the address is the application's, the options and exit codes are those of `uwsgi-deploy curl`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.server import ServerProcess

FLASK = (sys.executable, "-m", "flask", "--app", "hello")
HELLO = """
from flask import Flask, request
app = Flask(__name__)
app.config["UWSGI"] = {"fastcgi-socket": "app.sock", "socket": "other.sock"}

@app.route("/", methods=["GET", "POST"])
def page():
    return request.method + request.get_data(as_text=True)
"""


def curl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FLASK, "uwsgi", "curl", *words],
        cwd=folder,
        env=ServerProcess(directory=folder).environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_address_and_protocol_of_the_application(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    with ServerProcess("uwsgi", "run", directory=tmp_path, launcher=FLASK):
        done = curl(tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "GET", "")
        assert curl(tmp_path, "-d", "a=b", "-H", "Content-Type: text/plain", "/").stdout == "POSTa=b"
        assert curl(tmp_path, "--fail", "/nowhere").returncode == 22
        fastcgi = ("--address", "app.sock", "--protocol", "fastcgi")
        assert curl(tmp_path, *fastcgi).stdout == "GET"


def test_without_an_application(tmp_path: Path) -> None:
    """One that cannot be loaded is told; another address can still be asked."""
    (tmp_path / "hello.py").write_text("syntax error")
    assert 'app.config["UWSGI"] is not known' in curl(tmp_path, "--timeout", "5").stderr
    asked = curl(tmp_path, "--address", "nothing.sock")
    assert (asked.returncode, "is not known" in asked.stderr) == (7, False)
