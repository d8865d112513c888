"""Which changes of files are commands."""

from __future__ import annotations

import dataclasses
import marshal
import os
from pathlib import Path

import pytest

from uwsgi_deploy.config.settings import Settings, WatchingSettings
from uwsgi_deploy.master.commands import Command
from uwsgi_deploy.master.intake.touch import BY_OPTION, TouchFiles, touch_files


def watch(**options: tuple[str, ...]) -> TouchFiles:
    found = touch_files(Settings(watching=WatchingSettings(**options)))
    assert found is not None
    return found


def commands(files: TouchFiles) -> list[Command]:
    return [request.command for request in files.read()]


def touch(path: Path, second: int) -> None:
    path.touch()
    os.utime(path, (second, second))


def test_every_file_option_has_a_meaning() -> None:
    """The table is total over the options that name files."""
    files = {field.name for field in dataclasses.fields(WatchingSettings) if field.name.startswith(("touch", "fs"))}
    assert set(BY_OPTION) == files - {"touch_exec"}


def test_nothing_named_nothing_watched() -> None:
    """A server without such options has nothing to look at; an empty value names no file."""
    assert touch_files(Settings()) is None
    assert touch_files(Settings(watching=WatchingSettings(touch_reload=("",)))) is None


def test_touched_once_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A new modification time is one command, also an older one; uWSGI's line names the file."""
    file = tmp_path / "reload"
    touch(file, 1000)
    files = watch(touch_reload=(str(file),))
    assert commands(files) == []
    touch(file, 2000)
    assert commands(files) == [Command.RELOAD]
    assert f"*** {file} has been touched... grace them all !!! ***" in capfd.readouterr().err
    assert commands(files) == []
    touch(file, 500)
    assert commands(files) == [Command.RELOAD]


def test_appearing_and_disappearing(tmp_path: Path) -> None:
    """A file need not be there, not even its directory."""
    file = tmp_path / "later" / "reload"
    files = watch(touch_chain_reload=(str(file),))
    assert commands(files) == []
    file.parent.mkdir()
    touch(file, 1000)
    assert commands(files) == [Command.CHAIN_RELOAD]
    file.unlink()
    assert commands(files) == [Command.CHAIN_RELOAD]


def test_link_to_the_next_release(tmp_path: Path) -> None:
    """Another file under the name counts although it is not newer."""
    for name in ("one", "two"):
        touch(tmp_path / name, 1000)
    link = tmp_path / "current"
    link.symlink_to("one")
    files = watch(touch_reload=(str(link),))
    link.unlink()
    link.symlink_to("two")
    assert commands(files) == [Command.RELOAD]


def test_one_request_for_each_command(tmp_path: Path) -> None:
    """Two files that mean the same, touched together, are one reload; another meaning is another request."""
    paths = [tmp_path / name for name in ("a", "b", "c")]
    files = watch(touch_reload=(str(paths[0]), str(paths[1])), touch_workers_reload=(str(paths[2]),))
    for path in paths:
        path.touch()
    assert commands(files) == [Command.RELOAD, Command.WORKERS_RELOAD]


def test_relative_paths_stay_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the directory at the start, wherever the server goes later."""
    monkeypatch.chdir(tmp_path)
    files = watch(touch_reload=("reload",))
    monkeypatch.chdir("/")
    (tmp_path / "reload").touch()
    assert commands(files) == [Command.RELOAD]


def test_directories(tmp_path: Path) -> None:
    """fs-reload looks at a file, or into a directory but not deeper: new, changed and removed entries count."""
    (tmp_path / "deep").mkdir()
    touch(tmp_path / "file", 1000)
    files = watch(fs_reload=(str(tmp_path),), fs_brutal_reload=(str(tmp_path / "file"),))
    touch(tmp_path / "file", 2000)
    assert commands(files) == [Command.RELOAD, Command.BRUTAL_RELOAD]
    (tmp_path / "new").touch()
    assert commands(files) == [Command.RELOAD]
    (tmp_path / "new").unlink()
    assert commands(files) == [Command.RELOAD]
    touch(tmp_path / "deep" / "new", 1000)
    touch(tmp_path / "deep" / "new", 2000)
    assert commands(files) == [Command.RELOAD]  # the subdirectory got an entry
    touch(tmp_path / "deep" / "new", 3000)
    assert commands(files) == []


def test_nothing_is_missed_between_two_images(tmp_path: Path) -> None:
    """The next image of the master goes on from what this one has seen; it forgets what is not watched any more."""
    settings = Settings(
        watching=WatchingSettings(touch_reload=(str(tmp_path / "a"),), hook_touch=(f"{tmp_path}/b exit",))
    )
    seen: dict[str, object] = {"gone": None}
    former = touch_files(settings, seen)
    assert former is not None
    touch(tmp_path / "a", 1000)
    assert commands(former) == [Command.RELOAD]
    kept = marshal.loads(marshal.dumps(seen))
    assert len(kept) == 2
    touch(tmp_path / "b", 2000)
    following = touch_files(settings, kept)
    assert following is not None
    assert commands(following) == [Command.STOP]


def test_bytecode_is_no_change(tmp_path: Path) -> None:
    """Loading the application writes it: each reload would bring another one."""
    files = watch(fs_reload=(str(tmp_path),))
    (tmp_path / "__pycache__").mkdir()
    os.utime(tmp_path, (1000, 1000))
    assert commands(files) == [Command.RELOAD]  # of the directory itself
    touch(tmp_path / "__pycache__" / "app.pyc", 1000)
    os.utime(tmp_path / "__pycache__", (1000, 1000))
    assert commands(files) == []
