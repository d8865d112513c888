"""Verbs: the same in click and argparse, and what status looks like."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import click
import pytest

import flask_integration.cli
from uwsgi_deploy.cli import status_report, verb_commands, words
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.verb_commands import add_verbs, click_commands, perform_parsed
from uwsgi_deploy.cli.verbs import PLACE_ARGUMENTS, RELOADS, VERBS, Order, Takes, Verb
from uwsgi_deploy.master.commands import Command

SAMPLES = {Takes.NOTHING: [], Takes.TEXT: ["file"], Takes.NUMBER: ["3"], Takes.SECONDS: ["1.5"]}


def command_lines() -> Iterator[list[str]]:
    """Each verb bare, and with each of its arguments."""
    for verb in VERBS:
        yield list(verb.words)
        for argument in (*verb.arguments, *PLACE_ARGUMENTS):
            values = SAMPLES[argument.takes] * (2 if argument.many else 1)
            yield [*verb.words, *([] if argument.positional else [f"--{argument.name}"]), *values]


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Verb, Order]]:
    """What is performed, without performing it."""
    seen: list[tuple[Verb, Order]] = []

    def perform(verb: Verb, order: Order) -> int:
        seen.append((verb, order))
        return 0

    monkeypatch.setattr(verb_commands, "perform", perform)
    return seen


@pytest.mark.parametrize("line", list(command_lines()), ids=" ".join)
def test_click_and_argparse_understand_the_same(line: list[str], performed: list[tuple[Verb, Order]]) -> None:
    known = Place(directory="/project")
    group = click.Group(commands=click_commands(lambda values: known))
    group.main(line, standalone_mode=False)
    parser = argparse.ArgumentParser()
    add_verbs(parser, argparse.ArgumentParser(add_help=False))
    assert perform_parsed(vars(parser.parse_args(line)), lambda values: known) == 0
    (verb, by_click), (same, by_argparse) = performed
    assert verb is same
    assert verb.words == tuple(line[: len(verb.words)])
    assert (by_click.place, by_click.as_json) == (by_argparse.place, by_argparse.as_json)
    for argument in verb.arguments:
        assert (by_click.given(argument.key) or None) == (by_argparse.given(argument.key) or None)
    if not {"--pidfile", "--control-socket", "--pid"} & set(line):
        assert by_click.place is known


@pytest.mark.parametrize("line", [["stop", "--timeout", "x"], ["status", "--pid", "0"], ["status", "--pid", "x"]])
def test_both_refuse_the_same(line: list[str], performed: list[Any]) -> None:
    with pytest.raises(click.UsageError):
        click.Group(commands=click_commands(lambda values: Place())).main(line, standalone_mode=False)
    parser = argparse.ArgumentParser()
    add_verbs(parser, argparse.ArgumentParser(add_help=False))
    with pytest.raises(SystemExit):
        parser.parse_args(line)
    assert performed == []


def test_flask_has_every_verb() -> None:
    assert set(flask_integration.cli.COMMANDS) == {"run", "curl", *(verb.words[0] for verb in VERBS)}


def test_the_words_of_the_command_line_are_the_verbs() -> None:
    """They stand apart from the verbs, which a server's start does not load."""
    assert set(words.VERB_WORDS) == {verb.words[0] for verb in VERBS}
    assert all(Command(value) for value in words.PIDFILE_OPTIONS.values())


def test_every_kind_of_reload_can_be_asked_for() -> None:
    assert set(RELOADS.values()) == {
        Command.RELOAD,
        Command.BRUTAL_RELOAD,
        Command.CHAIN_RELOAD,
        Command.WORKERS_RELOAD,
        Command.BRUTAL_WORKERS_RELOAD,
    }


# --- status -----------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
RUNNING = {"core": 0, "seconds": 1.234, "client": "10.0.0.1", "method": "GET", "uri": "/a\x1b[2Jb" + "c" * 100}
DATA: dict[str, Any] = {
    "version": "1.2",
    "pid": 100,
    "state": "running",
    "uptime": 7384.0,
    "processes": 2,
    "requests": 12345,
    "generation": 3,
    "workers": [
        {
            "id": 1,
            "pid": 101,
            "state": "busy",
            "generation": 3,
            "started": NOW - 42,
            "total_requests": 12345,
            "exceptions": 7,
            "rss": 20 << 20,
            "running": [{**RUNNING, "seconds": 0.1}, RUNNING],
        },
        {
            "id": 2,
            "pid": 0,
            "state": "ordered",
            "generation": 3,
            "started": 0,
            "total_requests": 0,
            "exceptions": 0,
            "rss": 0,
            "running": [],
        },
    ],
    "templates": [{"pid": 99, "generation": 3, "state": "ready"}],
    "listeners": [
        {"name": ":8000", "protocol": "http", "queue": 5, "max_queue": 1024},
        {"name": "a.sock", "protocol": "uwsgi", "queue": None, "max_queue": None},
    ],
}


def test_the_table() -> None:
    """Columns line up; the longest request is shown, shortened and without what would move the cursor."""
    lines = status_report.table(DATA, now=NOW).splitlines()
    assert lines[0] == (
        "uwsgi-deploy 1.2 (pid 100) is running, up 2 h 3 min, generation 3: 1 of 2 workers serve, 12345 requests"
    )
    assert lines[1:4] == ["  http  :8000  5 of 1024 wait in the queue", "  uwsgi a.sock", ""]
    assert lines[4] == "ID  PID  STATE    GEN   AGE  REQUESTS  ERRORS   MEMORY  NOW"
    assert lines[5] == (
        " 1  101  busy       3  42 s     12345       7  20.0 MB  GET /a?[2Jb" + "c" * 52 + "… (1.2 s) +1"
    )
    assert lines[6] == " 2    -  ordered    3     -         0       0   0.0 MB"


def test_what_the_table_says_of_reloads_and_deadlines() -> None:
    """The one that runs; else the failure of the last one, so that a deployment that went wrong is not overlooked."""
    reload = {"id": 2, "kind": "chain reload", "stage": "rolling"}
    failed = {"id": 1, "ok": False, "message": "app.ini:4: \x1bwrong"}
    lines = status_report.table({**DATA, "reload": reload, "last_reload": failed}, now=NOW).splitlines()
    assert lines[3:5] == ["  a chain reload is under way: rolling", ""]
    lines = status_report.table({**DATA, "reload": None, "last_reload": failed}, now=NOW).splitlines()
    assert lines[3:5] == ["  the last reload failed: app.ini:4: ?wrong", ""]
    done = {"id": 1, "ok": True, "message": "2 workers serve"}
    lines = status_report.table({**DATA, "reload": None, "last_reload": done}, now=NOW).splitlines()
    assert lines[3] == ""
    busy = {**DATA["workers"][0], "running": [{**RUNNING, "uri": "/", "harakiri": 3.2}]}
    assert status_report.table({**DATA, "workers": [busy]}, now=NOW).endswith("GET / (1.2 s, harakiri in 3.2 s)")
    assert "last_reload_ok=False" in status_report.plain({**DATA, "last_reload": failed}).splitlines()
    assert "reload=" in status_report.plain({**DATA, "reload": None}).splitlines()


def test_the_plain_form() -> None:
    lines = status_report.plain(DATA).splitlines()
    assert lines[:2] == ["version=1.2", "pid=100"]
    assert (
        "worker id=2 pid=0 state=ordered generation=3 started=0 total_requests=0 exceptions=0 rss=0 running=0" in lines
    )
    assert "listener name=a.sock protocol=uwsgi queue= max_queue=" in lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.25, "0.2 s"),
        (10, "10 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3600, "1 h 0 min"),
        (93600, "1 d 2 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert status_report.duration(seconds) == text
