"""Conditions and loops in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.support import from_ini, refusal_of_ini
from uwsgi_deploy.config.known import CONDITION_NAMES
from uwsgi_deploy.config.logic import CLOSERS, OPENERS

ENVIRON = {"SET": "3", "EMPTY": ""}


def processes(tmp_path: Path, text: str) -> int:
    configuration = from_ini(tmp_path, text, environ=ENVIRON, hostname="web1")
    return configuration.settings.workers.processes


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("if-env = SET", True),
        ("ifenv = SET", True),
        ("if-env = SET=3", True),
        ("if-env = SET = 3", True),
        ("if-env = SET=4", False),
        ("if-env = EMPTY", True),
        ("if-env = NOPE", False),
        ("if-not-env = SET", False),
        ("if-not-env = NOPE", True),
        ("if-not-env = SET=4", True),
        ("if-opt = threads", True),
        ("if-opt = threads=2", True),
        ("if-opt = threads=3", False),
        ("if-opt = master", True),
        ("if-opt = master=true", True),
        ("if-opt = vacuum", False),
        ("if-not-opt = threads=2", False),
        ("if-not-opt = vacuum", True),
        ("if-exists = app.ini", True),
        ("ifexists = nope", False),
        ("if-not-exists = nope", True),
        ("if-file = app.ini", True),
        ("if-file = .", False),
        ("if-not-file = .", True),
        ("if-dir = .", True),
        ("ifdir = .", True),
        ("if-directory = app.ini", False),
        ("if-not-dir = app.ini", True),
        ("if-exists = %d/app.ini", True),
        ("if-exists = %(here)/app.ini", True),
        ("if-hostname = web1", True),
        ("if-not-hostname = web1", False),
        ("if-hostname-match = ^web\\d", True),
        ("if-not-hostname-match = ^web\\d", False),
        ("if-reload =", False),
        ("if-not-reload =", True),
        ("if-plugin = python3", True),
        ("ifplugin = php", False),
        ("if-not-plugin = php", True),
    ],
)
@pytest.mark.parametrize("closer", ["endif =", "end"])
def test_conditions(tmp_path: Path, condition: str, holds: bool, closer: str) -> None:
    text = f"threads = 2\nmaster\nhere = %d\n{condition}\nprocesses = 5\n{closer}\n"
    assert processes(tmp_path, text) == (5 if holds else 1)


def test_else(tmp_path: Path) -> None:
    text = "if-env = {}\nprocesses = 5\nelse =\nprocesses = 6\nendif =\n"
    assert processes(tmp_path, text.format("SET")) == 5
    assert processes(tmp_path, text.format("NOPE")) == 6


def test_the_tested_value_is_available(tmp_path: Path) -> None:
    """The way of the census: `workers = %(_)`."""
    assert processes(tmp_path, "if-env = SET\nworkers = %(_)\nendif =\n") == 3


def test_lines_after_the_block_count_again(tmp_path: Path) -> None:
    assert processes(tmp_path, "if-env = NOPE\nthreads = 2\nendif =\nprocesses = 4\n") == 4


@pytest.mark.parametrize(
    ("loop", "values"),
    [
        ("for = a b c", ("a", "b", "c")),
        ("for-times = 3", ("1", "2", "3")),
        ("for-readline = list.txt", ("one", "two")),
        ("for-glob = mod-*", ("{tmp}/mod-a/", "{tmp}/mod-b")),
        ("for-glob = none-*", ("none-*",)),
    ],
)
def test_loops(tmp_path: Path, loop: str, values: tuple[str, ...]) -> None:
    (tmp_path / "list.txt").write_text("one\n\n two\n")
    (tmp_path / "mod-a").mkdir()
    (tmp_path / "mod-b").write_text("")
    configuration = from_ini(tmp_path, f"{loop}\npythonpath = %(_)\nendfor =\n")
    assert configuration.settings.application.pythonpath == tuple(value.format(tmp=tmp_path) for value in values)


def test_in_a_loop_each_line_runs_over_all_items_before_the_next(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "for = a b\npythonpath = 1%(_)\npythonpath = 2%(_)\nendfor =\n")
    assert configuration.settings.application.pythonpath == ("1a", "1b", "2a", "2b")


def test_options_named_by_conditions_are_no_unknown_options(tmp_path: Path) -> None:
    """olympia: a variable that only `if-not-opt` asks for."""
    configuration = from_ini(tmp_path, "circleci = none\nif-not-opt = circleci=true\nprocesses = 2\nendif =\n")
    assert configuration.warnings == ()
    assert configuration.settings.workers.processes == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("if-env = A\nprocesses = 2", "app.ini:2: 'if-env' is never closed (add 'endif =')"),
        ("if-env = A\nif-file = B\n", "app.ini:3: 'if-file' inside of 'if-env' (app.ini:2): blocks cannot be nested"),
        ("endif =\n", "app.ini:2: 'endif' closes nothing"),
        ("else =\n", "app.ini:2: 'else' without an 'if-...' before it"),
        ("for = a\nelse =\nend =\n", "app.ini:3: 'else' without"),
        ("for-times = x\n", "app.ini:2: 'for-times = x' cannot be evaluated: it needs a whole number"),
        ("for-readline = nope\n", "app.ini:2: 'for-readline = nope' cannot be evaluated"),
        ("if-hostname-match = (\n", "app.ini:2: 'if-hostname-match = (' cannot be evaluated"),
    ],
)
def test_broken_blocks(tmp_path: Path, text: str, message: str) -> None:
    assert refusal_of_ini(tmp_path, text).startswith(message)


def test_the_table_of_names_is_complete() -> None:
    """What `known` calls a condition is what this module does."""
    assert {*OPENERS, *CLOSERS, "else"} == CONDITION_NAMES
