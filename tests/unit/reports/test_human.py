"""The block in the log."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from tests.unit.reports.incidents import APPLICATION, AT, incident, notes
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports import human
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Frame, InFlight, Kind, Outcome, Stack
from uwsgi_deploy.reports.notes import Call
from uwsgi_deploy.reports.report import Report

ID = new_id(AT)


def report(**fields: Any) -> Report:
    made = build(ID, incident(**fields), Settings())
    return {**made, "repeats": {"count": 2, "first": "2026-11-21T15:01:00.000Z"}}


def test_a_hard_stage_begins_and_ends_as_uwsgi_has_it() -> None:
    """Alerts look for these lines."""
    lines = human.text(report(kind=Kind.HARD, outcome=Outcome.KILLED, attempt=2, graceful=False)).split("\n")
    assert lines[0] == "*** HARAKIRI ON WORKER 3 (pid: 812, try: 2, graceful: no) ***"
    assert lines[1] == (
        "HARAKIRI: GET /search?q=*&token=* from 10.0.0.1 has run for 30.0 s on core 1 of worker 3 (pid: 812); "
        "harakiri allows 30 s"
    )
    assert lines[2] == "HARAKIRI [core 1] 10.0.0.1 - GET /search?q=*&token=* since 1795275623"
    assert lines[-1] == "HARAKIRI triggered by worker 3 core 1 !!!"
    user = human.text(report(kind=Kind.HARD, limit_origin="uwsgi.set_user_harakiri"))
    assert user.endswith("\nHARAKIRI (user) triggered by worker 3 core 1 !!!")


def test_other_stages_are_found_by_the_same_word() -> None:
    for kind, what in ((Kind.SOFT, "is slow and goes on"), (Kind.DEADLINE, "was ended at its deadline")):
        block = human.text(report(kind=kind))
        assert block.startswith(f"*** HARAKIRI: a request on worker 3 (pid: 812) {what} ***\n")
        assert block.endswith(f"\nHARAKIRI end of report {ID}")


def test_a_deadline_that_the_application_caught() -> None:
    """The request was not ended, and the log does not say so."""
    block = human.text(report(kind=Kind.DEADLINE, outcome=Outcome.CONTINUES))
    first = "*** HARAKIRI: a request on worker 3 (pid: 812) has passed a deadline and goes on ***"
    assert block.startswith(f"{first}\n")


def test_what_a_person_wants_to_know() -> None:
    block = human.text(report())
    for fact in (
        f"report    {ID} (deadline, answered_504)",
        "request   id req-7, route search/, view shop.views.search, user 17, phase application, sent 210 bytes",
        "timing    queue 1209 ms, body 1 ms, application 30.0 s",
        "culprit   /srv/shop/search.py:43 in find",
        "waits on  database: ",
        "24.9 s in default (postgresql): SELECT * FROM item WHERE name = ? AND price < ?",
        "hint      blocked 24.9 s in ",
        "worker    threads, 812 requests, 85 MB; 3 of 4 cores of the server are busy",
        "1.5 s GET /cart?x=* on worker 3",
        "repeats   2 times before within the hour, first at 2026-11-21T15:01:00.000Z",
        'File "/srv/shop/views.py", line 12 in search',
        "beside it MainThread:",
    ):
        assert f"  {fact}" in block, fact


def test_it_is_never_longer_than_40_lines() -> None:
    """However many threads, frames and requests there are; the last line stays the last."""
    deep = Stack("core 1", tuple(Frame("/srv/a.py", number, "f") for number in range(500)))
    others = tuple(Stack(f"thread {n}", (Frame("/srv/b.py", n, "g"),) * 9) for n in range(50))
    found = notes()
    for number in range(30):
        found.begin(Call("database", "default", f"SELECT {number}", 1.0))
    in_flight = tuple(InFlight(1, n, "GET", "/x", "", 1.0) for n in range(500))
    made = report(
        kind=Kind.HARD,
        victim=deep,
        others=others,
        notes=found,
        in_flight=in_flight,
        kernel={f"k{n}": "x" for n in range(50)},
    )
    lines = human.text(made).split("\n")
    assert len(lines) == human.MOST_LINES == 40
    assert lines[-1].startswith("HARAKIRI triggered by")
    assert max(map(len, lines)) <= 400


def test_a_request_cannot_write_lines() -> None:
    """Neither by its address nor by a header, nor can a file name or a statement."""
    evil = "x\n*** HARAKIRI ON WORKER 9 (pid: 1, try: 1, graceful: yes) ***\x1b[2J"
    found = replace(notes(), route=evil, view=evil, url_name=evil, user=lambda: evil)
    found.begin(Call("database", evil, evil, 1.0))
    made = report(
        method=evil,
        uri=f"/{evil}?{evil}",
        client=evil,
        notes=found,
        victim=Stack(evil, (Frame(evil, 1, evil), *APPLICATION)),
        others=(Stack(evil, (Frame(evil, 1, evil),)),),
        in_flight=(InFlight(1, 0, evil, evil, evil, 1.0),),
        kernel={"wchan": evil},
    )
    for text in (human.text(made), human.stack_text(made["stack"])):
        assert not re.search(r"^\*\*\* HARAKIRI ON WORKER 9", text, re.M)
        assert all(line.isprintable() for line in text.split("\n"))
    assert human.summary(made).isprintable()
    assert "\n" not in human.record(made)


def test_a_record_is_one_line_of_json() -> None:
    line = human.record(report())
    assert "\n" not in line
    found = json.loads(line)
    assert (found["event"], found["schema"], found["id"]) == ("harakiri", "uwsgi.harakiri/1", ID)


def test_a_stack_that_could_not_be_had_is_not_silent() -> None:
    assert "stack     none could be had" in human.text(report(victim=None, environ=None, notes=None))


def test_subjects_are_one_sentence() -> None:
    assert human.summary(report(kind=Kind.HARD)) == (
        "HARAKIRI: GET /search stuck after 30.0 s, database: shop/search.py find"
    )


def test_stacks_read_like_tracebacks() -> None:
    assert human.stack_text(report()["stack"]).split("\n") == [
        "Traceback (most recent call last):",
        '  File "/srv/shop/views.py", line 12 in search',
        '  File "/srv/shop/search.py", line 43 in find',
    ]


def test_the_same_fault_again_and_again_has_a_short_block() -> None:
    """All requests may be late at once; alerts see every one of them all the same."""
    made = report(kind=Kind.HARD)
    block = human.text({**made, "repeats": {"count": 10, "first": "2026-11-21T15:01:00.000Z"}})
    assert 'File "' in human.text(made)
    assert 'File "' not in block
    assert "culprit   /srv/shop/search.py:43 in find" in block
    assert block.startswith("*** HARAKIRI ON WORKER 3 ")
    assert block.endswith("HARAKIRI triggered by worker 3 core 1 !!!")
