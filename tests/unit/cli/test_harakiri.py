"""`harakiri list`, `show` and `replay`: which report is meant, where reports are, what is shown."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reports.incidents import incident
from uwsgi_deploy import settings_from
from uwsgi_deploy.cli import harakiri, harakiri_report
from uwsgi_deploy.cli.client import NOT_RUNNING, NoServer, Place, Server
from uwsgi_deploy.cli.order import Order
from uwsgi_deploy.cli.verbs import perform, verb_of
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.ring import Ring

HOUR = 3600.0
NOW = time.time()


def report(age: float = 0.0, path: str = "/reports/2026") -> dict[str, Any]:
    """A report that was made `age` seconds ago."""
    made = incident(at=NOW - age, uri=f"{path}?token=hunter2", wid=2)
    return build(new_id(NOW - age), made, settings_from(module="shop"))


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    """Three reports, an hour apart."""
    ring = Ring(str(tmp_path / "reports"), 50)
    for number in range(3):
        ring.add(report(number * HOUR, f"/reports/{number}"))
    return ring


def run(word: str, *, place: Place | None = None, as_json: bool = False, **values: Any) -> int:
    """The exit code of `harakiri WORD`."""
    return perform(verb_of("harakiri", word), Order(place or Place(), values, as_json))


def test_list_has_the_newest_first(ring: Ring, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", dir=ring.directory) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[7] for line in lines] == ["/reports/0", "/reports/1", "/reports/2"]
    assert dict(zip(harakiri_report.COLUMNS, lines[0], strict=True)) == {
        "id": ring.ids()[0],
        "time": ring.read(ring.ids()[0])["time"],
        "kind": "deadline",
        "outcome": "answered_504",
        "worker": "2",
        "elapsed": str(ring.read(ring.ids()[0])["timing"]["elapsed"]),
        "method": "GET",
        "path": "/reports/0",
        "route": "search/",
        "culprit": "search.py:43 in find",
    }
    assert run("list", dir=ring.directory, as_json=True, limit=2) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["directory"], data["total"], len(data["reports"])) == (ring.directory, 3, 2)


def test_table_shows_ids_that_are_long_enough(ring: Ring) -> None:
    rows = [harakiri_report.summary(found) for found in ring.reports()]
    heading, first, *_ = harakiri_report.table(rows, ring.ids(), ring.directory).splitlines()
    size = harakiri_report.shortest(ring.ids())
    assert first.startswith(f"{ring.ids()[0][:size]} ")
    assert heading.index("CULPRIT") == first.index("search.py:43 in find")
    assert len({known[:size] for known in ring.ids()}) == 3
    short = harakiri_report.table(rows[:1], ring.ids(), ring.directory)
    assert short.splitlines()[-1] == "(1 of 3, the newest; more with --limit)"
    assert harakiri_report.table([], [], "/x") == "there are no reports in /x"


@pytest.mark.parametrize(
    ("ids", "size"), [([], 8), (["aaaaaaaaaa"], 8), (["aaaaaaaaab", "aaaaaaaaaa"], 10), (["b1234567", "a1234567"], 8)]
)
def test_shortest_ids(ids: list[str], size: int) -> None:
    assert harakiri_report.shortest(ids) == size


def test_show_means_the_newest_or_the_one_that_begins_so(ring: Ring, capsys: pytest.CaptureFixture[str]) -> None:
    newest, _, oldest = ring.ids()
    for given, path in ((None, "/reports/0"), (oldest, "/reports/2"), (oldest[:13].upper(), "/reports/2")):
        assert run("show", dir=ring.directory, id=given) == 0
        assert f"GET {path}" in capsys.readouterr().out
    assert run("show", dir=ring.directory, id=newest, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == ring.read(newest)


def test_report_that_is_not_there_is_answered_with_the_nearest(ring: Ring, capsys: pytest.CaptureFixture[str]) -> None:
    """And a beginning that several have with all of them."""
    newest = ring.ids()[0]
    mistyped = newest[:-1] + ("0" if newest[-1] != "0" else "1")
    assert run("show", dir=ring.directory, id=mistyped) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert f"there is no report '{mistyped}' in {ring.directory}; the nearest is {newest}" in output.err
    assert run("show", dir=ring.directory, id=newest[:2]) == 1
    message = capsys.readouterr().err
    assert "3 reports begin with" in message
    assert all(known in message for known in ring.ids())


def test_replay_prints_a_command(ring: Ring, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", dir=ring.directory) == 0
    command = capsys.readouterr().out
    assert "\ncurl " in command
    assert "https://shop.example/reports/0?token=REDACTED" in command
    assert "hunter2" not in command
    assert run("replay", dir=ring.directory, to="http://127.0.0.1:8000") == 0
    assert "http://127.0.0.1:8000/reports/0" in capsys.readouterr().out
    assert run("replay", dir=ring.directory, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["command"] + "\n" == command


def test_directories_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", dir=str(tmp_path / "none")) == 1
    assert "there is no directory" in capsys.readouterr().err
    assert run("show", dir=str(tmp_path)) == 1
    assert f"there are no reports in {tmp_path}" in capsys.readouterr().err


# --- without --dir ----------------------------------------------------------------------------------------------------


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No server runs; the directories of this user's servers are empty."""

    def find(*_: object, **__: object) -> Server:
        raise NoServer(NOT_RUNNING, "not running: no server answers")

    monkeypatch.setattr(harakiri, "find", find)
    monkeypatch.setattr(harakiri.runtime_dir, "all_places", lambda *_: iter([str(tmp_path / "run")]))
    return tmp_path / "run" / "harakiri"


def test_reports_are_where_the_settings_say(ring: Ring, nobody: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", place=Place(reports=ring.directory)) == 0
    assert "/reports/0" in capsys.readouterr().out


def test_only_directory_with_reports_is_the_one(nobody: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several one has to be named; those without reports do not count."""
    assert run("list") == 1
    assert "--dir" in capsys.readouterr().err
    (nobody / "empty-0").mkdir(parents=True, mode=0o700)
    Ring(str(nobody / "shop-1"), 50).add(report())
    assert run("list") == 0
    assert "/reports/2026" in capsys.readouterr().out
    Ring(str(nobody / "blog-2"), 50).add(report())
    assert run("list") == 1
    message = capsys.readouterr().err
    assert str(nobody / "shop-1") in message
    assert str(nobody / "blog-2") in message


def test_running_server_knows_best(ring: Ring, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Unless it keeps none."""
    status: dict[str, Any] = {"reports": ring.directory}

    class Running:
        pid = os.getpid()

        def ask(self, *_: object) -> dict[str, Any]:
            return {"ok": True, "data": status}

    monkeypatch.setattr(harakiri, "find", lambda *_, **__: Running())
    assert run("list", place=Place(reports="/elsewhere")) == 0
    assert "/reports/0" in capsys.readouterr().out
    status["reports"] = ""
    assert run("list") == 1
    assert "keeps no reports" in capsys.readouterr().err
