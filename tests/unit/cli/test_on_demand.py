"""How `inflight` and `dump` look."""

from __future__ import annotations

from typing import Any

import pytest

from uwsgi_deploy.cli import on_demand_report
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.verb_commands import click_commands
from uwsgi_deploy.cli.verbs import VERBS


def request(**values: Any) -> dict[str, Any]:
    """A row of INFLIGHT."""
    return {
        "worker": 1,
        "pid": 812,
        "generation": 1,
        "core": 0,
        "client": "10.0.0.7",
        "method": "GET",
        "uri": "/reports/2026",
        "route": "reports/<int:year>",
        "age": 31.0,
        "limit": 29.0,
        "phase": "application",
        **values,
    }


def worker(**values: Any) -> dict[str, Any]:
    """A worker in the answer to DUMP."""
    return {
        "id": 1,
        "pid": 812,
        "generation": 1,
        "state": "S",
        "waits_in": "",
        "shown": "stacks",
        "note": "",
        "requests": [],
        "stacks": [],
        **values,
    }


def stack(core: int | None, *functions: str, name: str = "") -> dict[str, Any]:
    """One thread."""
    frames = [{"file": "/srv/app.py", "line": 7, "function": function} for function in functions]
    return {"name": name or f"core {core}", "core": core, "request": "", "frames": frames}


@pytest.mark.parametrize(("limit", "shown"), [(None, "-"), (29.0, "29 s"), (0.5, "0.5 s"), (0.0, "over"), (-3, "over")])
def test_time_left(limit: float | None, shown: str) -> None:
    assert on_demand_report.left(limit) == shown
    row = on_demand_report.table({"requests": [request(limit=limit)], "total": 1}).splitlines()[1]
    assert f" {shown} " in row


def test_table_says_what_it_leaves_out() -> None:
    """And a client's words move no cursor."""
    shown = on_demand_report.table({"requests": [request(uri="/\x1b[2J" + "y" * 200)], "total": 3})
    heading, row, more = shown.splitlines()
    assert heading.index("ROUTE") == row.index("reports/<int:year>")
    assert "\x1b" not in row
    assert "…" in row
    assert more == "(1 of 3, the oldest; more with --limit)"


def test_nothing_runs() -> None:
    assert on_demand_report.table({"requests": [], "total": 0}) == "no request runs"
    assert on_demand_report.plain({"requests": [], "total": 0}) == ""


def test_plain_lines_have_the_columns_in_order() -> None:
    """A tab or a newline of a client is none of ours."""
    line = on_demand_report.plain({"requests": [request(uri="/a\tb\nc", limit=None)], "total": 1})
    assert line.count("\n") == 1
    fields = line.rstrip("\n").split("\t")
    assert len(fields) == len(on_demand_report.COLUMNS)
    assert dict(zip(on_demand_report.COLUMNS, fields, strict=True))["uri"] == "/a?b?c"


def test_stacks_name_the_request_and_count_the_idle() -> None:
    data = worker(requests=[request(core=1)], stacks=[stack(1, "find"), stack(0, "poll"), stack(2, "poll")])
    shown = on_demand_report.stacks([data], with_idle=False)
    assert shown.splitlines() == [
        "worker 1 (pid 812, generation 1): 1 request",
        "  core 1: GET /reports/2026 (31 s, application, 29 s left, route reports/<int:year>)",
        '    File "/srv/app.py", line 7, in find',
        "  2 idle cores",
    ]
    assert "core 2, idle" in on_demand_report.stacks([data], with_idle=True)


def test_worker_that_shows_nothing_still_tells_its_requests() -> None:
    data = worker(requests=[request()], note="suspended", shown="nothing", waits_in="do_signal_stop")
    lines = on_demand_report.stacks([data], with_idle=False).splitlines()
    assert lines[0].endswith("1 request, waits in do_signal_stop")
    assert lines[1] == "  *** suspended"
    assert lines[2].startswith("  core 0: GET /reports/2026 (31 s")


def test_deep_stacks_are_cut_and_said_to_be() -> None:
    data = worker(stacks=[stack(None, *["again"] * 100, name="another thread")])
    lines = on_demand_report.stacks([data], with_idle=False).splitlines()
    assert lines[-1] == "    ... and 40 more frames (--json has them)"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.details], ids=lambda verb: " ".join(verb.words))
def test_help_keeps_its_lines_and_tells_exit_codes(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Examples would be no use in one paragraph."""
    command: Any = click_commands(lambda _: Place())[verb.words[0]]
    command.main([*verb.words[1:], "--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    for line in verb.details.splitlines():
        assert line in shown
    assert "Exit codes:" in verb.details
