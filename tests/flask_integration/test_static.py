"""`flask uwsgi run --offload-static`: the folders of the application and its blueprints, and what is left to Flask."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Blueprint, Flask
from flask.wrappers import Response

from flask_integration.static_files import left_to_the_application, options
from tests.flask_integration.conftest import Started
from tests.support.server import ServerProcess

Run = Callable[..., Started]

SHOP = """\
from flask import Blueprint, Flask

app = Flask(__name__)
admin = Blueprint("admin", __name__, static_folder="admin_files", url_prefix="/admin")
app.register_blueprint(admin)

@app.get("/")
def index():
    return "index"

@app.after_request
def mark(response):
    response.headers["X-Flask"] = "yes"
    return response
"""


def pairs(app: Flask) -> list[tuple[str, str | None]]:
    return [(option.name, option.value) for option in options(app)]


def test_folders_of_application_and_blueprints(tmp_path: Path) -> None:
    app = Flask("app", root_path=str(tmp_path), static_url_path="/files")
    inner = Blueprint("inner", "inner", root_path=str(tmp_path), static_folder="i")
    outer = Blueprint("outer", "outer", root_path=str(tmp_path), static_folder="o", url_prefix="/outer")
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer)
    app.register_blueprint(Blueprint("none", "none", root_path=str(tmp_path)))
    maps = [value for name, value in pairs(app) if name == "static-map"]
    assert sorted(map(str, maps)) == [
        f"/files/={tmp_path}/static",
        f"/outer/inner/i/={tmp_path}/i",
        f"/outer/o/={tmp_path}/o",
    ]


@pytest.mark.parametrize(("setting", "seconds"), [(None, 0), (3600, 3600), (timedelta(days=1), 86400)])
def test_how_long_clients_keep_them(setting: object, seconds: int, tmp_path: Path) -> None:
    app = Flask("app", root_path=str(tmp_path))
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = setting
    assert dict(pairs(app))["static-expires-path-info"] == f"^/static/ {seconds}"


class Guarded(Flask):
    """Serves its files in its own way, perhaps only to some."""

    def send_static_file(self, filename: str) -> Response:
        raise PermissionError(filename)


def test_what_only_the_application_can_serve(tmp_path: Path) -> None:
    app = Guarded("app", root_path=str(tmp_path))
    varying = Blueprint("v", "v", root_path=str(tmp_path), static_folder="v", url_prefix="/<language>")
    app.register_blueprint(varying)
    assert pairs(app) == []
    assert sorted(left_to_the_application(app)) == ["/<language>/v/<path:filename>", "/static/<path:filename>"]


def test_the_command_says_what_it_leaves(flask_uwsgi_run: Run, directory: Path) -> None:
    (directory / "guarded.py").write_text(
        "from flask import Flask\n"
        "class App(Flask):\n"
        "    def send_static_file(self, filename):\n"
        "        return 'mine'\n"
        "app = App(__name__, static_folder='.')\n"
    )
    started = flask_uwsgi_run("--offload-static", before=("--app", "guarded"))
    assert started.arguments == []
    assert "are left to the application" in started.output


def test_it_needs_the_application(refused: Callable[..., str]) -> None:
    assert "--offload-static needs the application" in refused("--offload-static", "--module", "other:app")


def test_server(tmp_path: Path) -> None:
    """The files do not come through Flask; what is none, does."""
    (tmp_path / "shop.py").write_text(SHOP)
    for folder, name in (("static", "a.css"), ("admin_files", "b.css")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(name)
    launcher = [sys.executable, "-m", "flask", "--app", "shop", "uwsgi", "run", "-p", "0"]
    with ServerProcess("--offload-static", launcher=launcher, directory=tmp_path) as server:
        for path in ("/static/a.css", "/admin/admin_files/b.css"):
            answer = server.get(path)
            assert (answer.status, answer.body) == (200, path.rpartition("/")[2].encode())
            assert answer.header("x-flask") is None
            assert answer.header("cache-control") == "max-age=0"
        missing = server.get("/static/none.css")
        assert (missing.status, missing.header("x-flask")) == (404, "yes")
        assert server.get("/").body == b"index"
    with ServerProcess(launcher=launcher, directory=tmp_path) as server:
        assert server.get("/static/a.css").header("x-flask") == "yes"
