"""flask_api: create, read, update and delete notes, under each way to serve it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.examples.browser import Browser
from tests.support.server import ServerProcess

FLASK = (sys.executable, "-m", "flask")
VALIDATED = """\
from wsgiref.validate import validator
from notes_api import create_app
application = validator(create_app())
"""


def use(url: str) -> None:
    """The life of a note, and what is answered to mistakes."""
    client = Browser(url)
    assert client.get("/health").json["status"] == "ok"
    assert client.get("/notes/").json == {"notes": []}

    created = client.send_json("POST", "/notes/", {"title": "Milk", "body": "1 l"})
    note = created.json
    location = created.headers["Location"]
    assert created.status == 201
    assert location == f"/notes/{note['id']}"
    assert client.get(location).json == note

    updated = client.send_json("PUT", location, {"title": "Hafermilch – süß"})
    assert (updated.status, updated.json["title"], updated.json["body"]) == (200, "Hafermilch – süß", "")
    assert [each["id"] for each in client.get("/notes/?limit=1").json["notes"]] == [note["id"]]

    assert client.request("DELETE", location).status == 204
    assert client.get(location).json == {"error": f"There is no note {note['id']}.", "status": 404}
    assert client.request("DELETE", location).status == 404

    assert client.send_json("POST", "/notes/", {"title": " "}).json["error"] == "A note needs a title."
    assert client.send_json("POST", "/notes/", ["x"]).status == 400
    assert client.request("POST", "/notes/", b"{", {"Content-Type": "application/json"}).status == 400
    assert client.request("POST", "/notes/", b"title=x").status == 415
    assert client.send_json("POST", "/notes/", {"title": "x" * 1_100_000}).status == 413
    assert client.request("PATCH", "/notes/").status == 405
    assert "GET" in client.request("PATCH", "/notes/").headers["Allow"]


def test_flask_uwsgi_run(examples: Path) -> None:
    """`flask uwsgi run` needs no --app: .flaskenv names the factory. SIGTERM ends all of it with 0."""
    with ServerProcess("uwsgi", "run", "-p", "0", launcher=FLASK, directory=examples / "flask_api") as server:
        use(server.url)
        assert server.stop() == 0
        assert server.session_pids() == set()


def test_ini(examples: Path) -> None:
    """`uwsgi-deploy --ini uwsgi.ini` serves the same API."""
    with ServerProcess("--ini", "uwsgi.ini", directory=examples / "flask_api") as server:
        use(server.url)
        assert server.stop() == 0


def test_conforms_to_wsgi(examples: Path) -> None:
    """wsgiref's validator stands between server and application, and has nothing to say."""
    project = examples / "flask_api"
    (project / "validated.py").write_text(VALIDATED)
    options = ("--http-socket", "127.0.0.1:0", "--module", "validated", "--threads", "4")
    with ServerProcess(*options, directory=project) as server:
        use(server.url)
        assert server.stop() == 0
        assert "Traceback" not in server.log
        assert "AssertionError" not in server.log
