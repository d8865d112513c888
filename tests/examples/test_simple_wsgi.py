"""simple_wsgi: 2,000 small blocks, and an ini that is named after what it serves."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.server import ServerProcess

EVERYTHING = b"".join(b"block %d\n" % number for number in range(1, 2001))
VALIDATED = """\
from wsgiref.validate import validator
from blocks import application
application = validator(application)
"""


def test_ini(examples: Path) -> None:
    """`uwsgi-deploy --ini blocks.ini`: all blocks come, in order; the pid file has the name of the ini, and goes."""
    with ServerProcess("--ini", "blocks.ini", directory=examples / "simple_wsgi") as server:
        pidfile = examples.parent / "blocks.pid"
        with server.connect() as client:
            for _ in range(3):
                assert client.get("/").body == EVERYTHING
            client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.receive("HEAD").status == 200
            client.send(b"DELETE / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.receive("DELETE").status == 405
        assert int(pidfile.read_text()) == server.pid
        assert server.stop() == 0
        assert not pidfile.exists()


def test_copy_serves_another_application(examples: Path) -> None:
    """%n follows the name of the file, as the README promises."""
    project = examples / "simple_wsgi"
    shutil.copy(project / "blocks.ini", project / "other.ini")
    other = (project / "blocks.py").read_text().replace("block %d", "other %d")
    (project / "other.py").write_text(other)
    with ServerProcess("--ini", "other.ini", directory=project) as server:
        assert server.get("/").body.startswith(b"other 1\nother 2\n")
        assert (examples.parent / "other.pid").exists()


def test_conforms_to_wsgi(examples: Path) -> None:
    """wsgiref's validator stands between server and application, and has nothing to say."""
    project = examples / "simple_wsgi"
    (project / "validated.py").write_text(VALIDATED)
    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "validated", directory=project) as server:
        assert server.get("/").body == EVERYTHING
        assert server.stop() == 0
        assert "AssertionError" not in server.log
