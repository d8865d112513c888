"""Which files are told to the watcher, and in which state they were imported."""

from __future__ import annotations

import importlib
import marshal
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from uwsgi_deploy.worker.imported import MISSING, OUTDATED, Reporter, files_of_error, is_ignored, source_of, stamp_of
from uwsgi_deploy.worker.watcher import Watched


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to import from; what was imported is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def error_of(name: str) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  any error of a module
        importlib.import_module(name)
    return caught.value


def test_error_names_the_files_that_may_mend_it(folder: Path) -> None:
    """The module that does not compile and those that import it, though no module table has them any more."""
    (folder / "outer.py").write_text("import inner_broken\n")
    (folder / "inner_broken.py").write_text("x = (\n")
    found = set(files_of_error(error_of("outer")))
    assert {str(folder / "outer.py"), str(folder / "inner_broken.py")} <= found


def test_missing_module_has_places(folder: Path) -> None:
    """Where it would be: next to the top level, or in its package."""
    assert str(folder / "nowhere_at_all.py") in set(files_of_error(error_of("nowhere_at_all")))
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    found = set(files_of_error(error_of("package.part")))
    assert {str(folder / "package" / "part.py"), str(folder / "package" / "part" / "__init__.py")} <= found


def test_cause_and_context_are_followed(folder: Path) -> None:
    """The loader wraps the application's error in one of its own."""
    (folder / "raises.py").write_text("raise LookupError\n")
    wrapper = ValueError()
    wrapper.__cause__ = error_of("raises")
    assert str(folder / "raises.py") in set(files_of_error(wrapper))
    assert list(files_of_error(None)) == []


@pytest.mark.parametrize(
    ("name", "expected"), [("a.b", True), ("a.b.c", True), ("a", False), ("a.bc", False), ("", False)]
)
def test_ignored(name: str, expected: bool) -> None:
    """A module, or what is in a package."""
    assert is_ignored(name, ("a.b",)) is expected


def test_source_of_odd_modules() -> None:
    """Built-in and invented modules have none; a compiled file alone stands for its source."""
    assert source_of(sys) == ""
    module = ModuleType("odd")
    module.__file__ = "/x/odd.pyc"
    assert source_of(module) == "/x/odd.py"


def test_saved_while_it_was_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is newer than what was compiled is outdated; where nothing can be known it is not."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = folder / "saved.py"
    path.write_text("x = 1\n")
    os.utime(path, (2_000_000, 2_000_000))
    module = importlib.import_module("saved")
    assert stamp_of(str(path), module, 0) == 2_000_000 * 10**9
    os.utime(path, (3_000_000, 3_000_000))
    assert stamp_of(str(path), module, 0) == OUTDATED
    assert stamp_of(str(path), module, 3_000_000 * 10**9) == 3_000_000 * 10**9  # older than this process
    assert stamp_of(str(path), ModuleType("uncompiled"), 0) == 3_000_000 * 10**9
    path.unlink()
    assert stamp_of(str(path), module, 0) == MISSING


def test_reporter_tells_each_module_once(folder: Path) -> None:
    """New ones only, and no error when nobody listens."""
    (folder / "told.py").write_text("")
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    with receiver, sender:
        reporter = Reporter(sender, ("ignored_module",))
        reporter._seen.update(sys.modules)
        importlib.import_module("told")
        (folder / "ignored_module.py").write_text("")
        importlib.import_module("ignored_module")
        reporter.report_modules()
        reporter.report_modules()
        paths = [path for path, _ in marshal.loads(receiver.recv(1 << 16))]
        assert paths == [str(folder / "told.py")]
        with pytest.raises(BlockingIOError):
            receiver.recv(1)
        receiver.close()
        reporter.report_failure(error_of("nothing_here"))


def test_watched_files_change_once(tmp_path: Path) -> None:
    """Against the state that was imported; appearing and disappearing count; a second report changes nothing."""
    path, later = tmp_path / "a.py", tmp_path / "later.py"
    path.touch()
    os.utime(path, (1000, 1000))
    watched = Watched()
    watched.add(str(path), 1000 * 10**9)
    watched.add(str(later), MISSING)
    assert watched.changed() == []
    os.utime(path, (2000, 2000))
    watched.add(str(path), 2000 * 10**9)
    assert watched.changed() == [str(path)]
    assert watched.changed() == []
    later.touch()
    assert watched.changed() == [str(later)]
    path.unlink()
    assert watched.changed() == [str(path)]
    assert watched.folders() == {str(tmp_path)}
    watched.add("/nowhere/at/all.py", OUTDATED)
    assert watched.changed() == ["/nowhere/at/all.py"]
