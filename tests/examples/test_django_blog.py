"""django_blog: log in, write in the admin and on the site, under each way to serve it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.browser import Browser
from tests.support.server import LAUNCHER, ServerProcess

PYTHON = sys.executable
VALIDATED = """\
from wsgiref.validate import validator
from mysite.wsgi import application
application = validator(application)
"""


@pytest.fixture
def blog(examples: Path) -> Path:
    """The project with its tables, its user and its posts."""
    project = examples / "django_blog"
    environment = ServerProcess(directory=project).environment
    for command in (["migrate", "--verbosity=0"], ["createdemo"], ["createdemo"]):
        subprocess.run([PYTHON, "manage.py", *command], cwd=project, env=environment, check=True)
    return project


def use(url: str) -> None:
    """What a visitor and an editor do."""
    visitor, editor = Browser(url), Browser(url)
    assert "Hello, world" in visitor.get("/").text
    assert "Posts read in this session: 1" in visitor.get("/posts/hello-world/").text
    assert "Posts read in this session: 2" in visitor.get("/posts/hello-world/").text
    assert visitor.get("/write/").url.endswith("/accounts/login/?next=/write/")
    assert visitor.get("/posts/no-such-post/").status == 404

    page = editor.submit("/admin/login/?next=/admin/", username="demo", password="demo", next="/admin/")
    assert "Site administration" in page.text
    post = {"title": "From the admin", "slug": "from-the-admin", "body": "Täglich 100 %", "author": "1"}
    page = editor.submit("/admin/blog/post/add/", **post)
    assert "was added successfully" in page.text

    page = editor.submit("/write/", title="From the site", body="a < b")
    assert "is published" in page.text
    assert "a &lt; b" in page.text
    assert "There is a post with this title already." in editor.submit("/write/", title="From the site", body="x").text

    assert visitor.request("POST", "/write/", b"title=forged").status == 403
    page = visitor.get("/")
    assert "From the admin" in page.text
    assert "From the site" in page.text
    assert "Täglich 100 %" in visitor.get("/posts/from-the-admin/").text


def test_runuwsgi(blog: Path) -> None:
    """`manage.py runuwsgi` serves the site, styles of the admin included, and a SIGTERM ends all of it with 0."""
    with ServerProcess("127.0.0.1:0", "-p", "2", launcher=[PYTHON, "manage.py", "runuwsgi"], directory=blog) as server:
        use(server.url)
        style = Browser(server.url).get("/static/admin/css/base.css")
        assert (style.status, style.headers["Content-Type"]) == (200, "text/css")
        assert server.stop() == 0
        assert server.session_pids() == set()


def test_ini(blog: Path) -> None:
    """`uwsgi-deploy --ini uwsgi.ini` serves the same site."""
    with ServerProcess("--ini", "uwsgi.ini", directory=blog) as server:
        use(server.url)
        assert server.stop() == 0


def test_conforms_to_wsgi(blog: Path) -> None:
    """wsgiref's validator stands between server and application, and has nothing to say."""
    (blog / "validated.py").write_text(VALIDATED)
    options = ("--http-socket", "127.0.0.1:0", "--module", "validated", "--chdir", blog, "--threads", "4")
    with ServerProcess(*options, launcher=LAUNCHER, directory=blog) as server:
        use(server.url)
        assert server.stop() == 0
        assert "Traceback" not in server.log
        assert "AssertionError" not in server.log


def test_demo_user_is_refused_in_production(blog: Path) -> None:
    """A password that everybody knows never reaches a real deployment."""
    production = {"DJANGO_DEBUG": "0", "DJANGO_SECRET_KEY": "x" * 50}
    environment = ServerProcess(directory=blog, environment=production).environment
    command = [PYTHON, "manage.py", "createdemo"]
    result = subprocess.run(command, cwd=blog, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "CommandError: A user whose password everybody knows is for DEBUG=True only.\n"
