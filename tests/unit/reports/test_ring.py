"""Reports as files: private, whole, few, and delivered once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reports.incidents import AT
from uwsgi_deploy import settings_from
from uwsgi_deploy.process import runtime_dir
from uwsgi_deploy.reports import ring as ring_module
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.place import complaint, name_of
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.ring import MOST_ATTEMPTS, NoSuchReport, Ring, ring_of

ME, SERVER = os.getpid(), os.getppid()
NOBODY = 999_999_999  # larger than any process id


def a_report(at: float = AT, **fields: Any) -> Report:
    return {"id": new_id(at), "kind": "hard", **fields}


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(str(tmp_path / "ring"), 5)


def test_files_and_their_directory_are_private(ring: Ring) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        report = a_report(text="ä\ud800")
        ring.add(report, pending=(0, SERVER))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(ring.directory).st_mode) == 0o700
    modes = {stat.S_IMODE(os.stat(os.path.join(ring.directory, name)).st_mode) for name in os.listdir(ring.directory)}
    assert modes == {0o600}
    assert ring.read(report["id"])["text"] == "ä?"


def test_the_oldest_go(ring: Ring) -> None:
    """With what else there is of them."""
    reports = [a_report(AT + number) for number in range(8)]
    for report in reports:
        ring.add(report, pending=(0, SERVER))
    newest_first = [report["id"] for report in reversed(reports)][:5]
    assert ring.ids() == newest_first
    assert ring.undelivered() == sorted(newest_first)
    assert [report["id"] for report in ring.reports()] == newest_first
    assert [report["id"] for report in ring.reports(since=AT + 6)] == newest_first[:2]


def test_a_report_is_found_by_the_beginning_of_its_name(ring: Ring) -> None:
    first, second = a_report(AT), a_report(AT + 100_000)
    ring.add(first)
    ring.add(second)
    assert ring.read(first["id"][:13])["id"] == first["id"]
    assert ring.read(second["id"].upper() + " ")["id"] == second["id"]
    for wrong, reason in ((first["id"][:3], "2 reports begin with"), ("ffff", "there is no report"), ("", "no report")):
        with pytest.raises(NoSuchReport, match=reason):
            ring.read(wrong)
    with pytest.raises(NoSuchReport):
        ring.read("../../etc/passwd")


def test_a_new_version_replaces_the_old_one(ring: Ring) -> None:
    report = a_report()
    ring.add(report)
    ring.add({**report, "kind": "soft"})
    assert ring.read(report["id"])["kind"] == "soft"
    assert len(os.listdir(ring.directory)) == 1


def test_what_is_no_report_is_left_alone(ring: Ring) -> None:
    ring.prepare()
    directory = Path(ring.directory)
    other = new_id(AT)
    (directory / "notes.txt").write_text("mine")
    (directory / f"{other}.json").write_text("{broken")
    for _ in range(3):
        ring.add(a_report(AT + 5))
    assert len(list(ring.reports())) == 3
    assert (directory / "notes.txt").exists()
    with pytest.raises(NoSuchReport, match="cannot be read"):
        ring.read(other)
    (directory / f"{other}.json").write_text('{"id": "another"}')
    with pytest.raises(NoSuchReport, match="is no report"):
        ring.read(other)


def test_links_are_not_followed(ring: Ring, tmp_path: Path) -> None:
    """In a directory that others may write: neither when reading nor when writing."""
    ring.prepare()
    secret = tmp_path / "secret"
    linked, written = new_id(AT), a_report(AT + 1)
    secret.write_text(json.dumps({"id": linked}))
    for name in (f"{linked}.json", f"{written['id']}.json", f".{written['id']}.json.{os.getpid()}.tmp"):
        os.symlink(secret, os.path.join(ring.directory, name))
    with pytest.raises(NoSuchReport, match="cannot be read"):
        ring.read(linked)
    ring.add(written)
    assert ring.read(written["id"])["id"] == written["id"]
    assert json.loads(secret.read_text()) == {"id": linked}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_files_of_others_are_not_believed(ring: Ring) -> None:
    report = a_report()
    ring.add(report)
    os.chown(os.path.join(ring.directory, f"{report['id']}.json"), 65534, -1)
    with pytest.raises(NoSuchReport, match="somebody else's"):
        ring.read(report["id"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_writes_belongs_to_the_workers_user(tmp_path: Path) -> None:
    """With master-as-root the master writes what workers are to deliver."""
    ring = Ring(str(tmp_path / "ring"), 5, owner=65534)
    ring.add(a_report(), pending=(0, SERVER))
    paths = [ring.directory, *(os.path.join(ring.directory, name) for name in os.listdir(ring.directory))]
    assert {os.stat(path).st_uid for path in paths} == {65534}


# --- delivery -------------------------------------------------------------------------------------------------------


def test_a_report_is_delivered_by_one_process(ring: Ring) -> None:
    report = a_report()
    ring.add(report, pending=(0, SERVER))
    assert ring.claim(ME, SERVER) == [report["id"]]
    assert ring.claim(ME, SERVER) == []  # it is at it
    assert ring.claim(NOBODY, SERVER) == []  # this process is
    assert ring.undelivered() == [report["id"]]
    ring.settle(report["id"])
    assert ring.undelivered() == []
    assert ring.read(report["id"])


def test_a_report_of_a_process_that_died_is_taken_over(ring: Ring) -> None:
    older, newer = a_report(AT), a_report(AT + 1)
    ring.add(newer, pending=(NOBODY, SERVER))
    ring.add(older, pending=(NOBODY - 1, SERVER))
    assert ring.claim(ME, SERVER) == [older["id"], newer["id"]]


def test_servers_leave_each_others_reports_alone_while_they_live(ring: Ring) -> None:
    report = a_report()
    ring.add(report, pending=(0, ME))
    assert ring.claim(ME, SERVER) == []
    gone = a_report()
    ring.add(gone, pending=(0, NOBODY))
    assert ring.claim(ME, SERVER) == [gone["id"]]


def test_a_report_that_ends_whoever_delivers_it_is_given_up(ring: Ring) -> None:
    ring.add(a_report(), pending=(0, SERVER))
    for attempt in range(MOST_ATTEMPTS):
        assert len(ring.claim(NOBODY - attempt, SERVER)) == 1
    assert ring.claim(ME, SERVER) == []
    assert ring.undelivered() == []


WRITER = """
import sys
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.ring import Ring
ring = Ring(sys.argv[1], 5)
for number in range(60):
    ring.add({"id": new_id(1_795_275_653 + number), "text": "x" * 5000}, pending=(0, int(sys.argv[2])))
    for report in ring.reports():
        assert len(report["text"]) == 5000
    for claimed in ring.claim(int(sys.argv[3]), int(sys.argv[2])):
        print(claimed)
"""


def test_several_processes_write_at_once(ring: Ring) -> None:
    """Nobody sees half a report, nothing raises, and nobody delivers what another one does."""
    command = [sys.executable, "-c", WRITER, ring.directory, str(SERVER)]
    writers = [
        subprocess.Popen([*command, str(SERVER + number)], stdout=subprocess.PIPE, text=True) for number in range(3)
    ]
    claimed = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(ring.ids()) == 5
    assert not [name for name in os.listdir(ring.directory) if name.endswith(".tmp")]
    everything = [name for names in claimed for name in names]
    assert everything


# --- where ----------------------------------------------------------------------------------------------------------


def test_where_it_is(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    settings = settings_from(module="shop.wsgi:application", http_socket=":8000")
    found = ring_of(settings, environ)
    assert found is not None
    assert found.directory.startswith(f"{tmp_path}/uwsgi-deploy/harakiri/shop.wsgi_application-")
    assert found.keep == 50
    again = ring_of(settings_from(module="shop.wsgi:application", http_socket=":8000", harakiri=3), environ)
    assert again is not None
    assert again.directory == found.directory
    other = ring_of(settings_from(module="shop.wsgi:application", http_socket=":8001"), environ)
    assert other is not None
    assert other.directory != found.directory
    found.add(a_report())
    assert len(found.ids()) == 1


def test_names_of_directories_are_harmless() -> None:
    name = name_of(settings_from(module="../../x y\n/..:a", http_socket=":1"))
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isprintable()


def test_where_it_is_told(tmp_path: Path) -> None:
    found = ring_of(settings_from(harakiri_dir=str(tmp_path / "here"), harakiri_keep=3), {})
    assert found is not None
    assert (found.directory, found.keep) == (str(tmp_path / "here"), 3)


@pytest.mark.parametrize("options", [{"harakiri_dir": "off"}, {"harakiri_keep": 0}, {"harakiri_sinks": "log"}])
def test_where_there_is_none(options: dict[str, Any]) -> None:
    assert ring_of(settings_from(**options), {}) is None


def test_without_a_private_directory_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_dir, "choose", lambda _environ: None)
    assert ring_module.ring_of(settings_from(), {}) is None


def test_a_directory_that_was_named_is_made_at_the_start(tmp_path: Path) -> None:
    """And one that cannot be used is told then, not in the night when the first report comes."""
    assert complaint(settings_from(), {}) == ""
    good = tmp_path / "reports" / "here"
    assert complaint(settings_from(harakiri_dir=str(good)), {}) == ""
    assert stat.S_IMODE(good.stat().st_mode) == 0o700
    assert complaint(settings_from(harakiri_dir=str(good)), {}) == ""
    (tmp_path / "file").write_text("")
    for path, reason in (("file/x", "Not a directory"), ("file", "Not a directory"), ("a/b/c", "No such file")):
        told = complaint(settings_from(harakiri_dir=str(tmp_path / path)), {})
        assert told.startswith(f"harakiri-dir: reports of late requests cannot be kept in {tmp_path / path}: {reason}")
    assert complaint(settings_from(harakiri_dir=str(tmp_path / "file"), harakiri_sinks="log"), {}) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_makes_it_for_the_workers_user(tmp_path: Path) -> None:
    assert complaint(settings_from(harakiri_dir=str(tmp_path / "a" / "b"), uid="65534"), {}) == ""
    assert (tmp_path / "a" / "b").stat().st_uid == 65534
