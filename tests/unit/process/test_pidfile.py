"""The pid file belongs to one living server, and only its owner removes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.process.pidfile import write_pidfile


def test_holds_the_pid(tmp_path: Path) -> None:
    """The content is what `kill $(cat app.pid)` needs."""
    pidfile = write_pidfile(str(tmp_path / "app.pid"), 4711)
    assert (tmp_path / "app.pid").read_text() == "4711\n"
    assert pidfile.remove() == ["VACUUM: pidfile removed."]
    assert not (tmp_path / "app.pid").exists()
    pidfile.close()


def test_relative_path_is_of_the_first_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that changes its directory still removes its file."""
    monkeypatch.chdir(tmp_path)
    pidfile = write_pidfile("app.pid", 1)
    monkeypatch.chdir("/")
    assert pidfile.path == str(tmp_path / "app.pid")
    assert pidfile.remove() == ["VACUUM: pidfile removed."]
    pidfile.close()


def test_stale_file_is_replaced(tmp_path: Path) -> None:
    """A crashed server's file is taken over, also when a process with its number lives."""
    path = tmp_path / "app.pid"
    path.write_text(f"{os.getppid()}\n")
    write_pidfile(str(path), 12).close()
    assert path.read_text() == "12\n"


def test_file_of_a_running_server_is_refused(tmp_path: Path) -> None:
    """Two servers with one pid file: the second one does not start, and the first one's file is intact."""
    path = tmp_path / "app.pid"
    first = write_pidfile(str(path), 4711)
    with pytest.raises(ConfigError, match=r"belongs to a running server \(pid 4711\)"):
        write_pidfile(str(path), 4712)
    assert path.read_text() == "4711\n"
    first.close()
    write_pidfile(str(path), 4712).close()


def test_lock_ends_with_a_killed_server(tmp_path: Path) -> None:
    """After kill -9 the file is there and can be taken over."""
    path = tmp_path / "app.pid"
    code = f"import os; from uwsgi_deploy.process.pidfile import write_pidfile as w; w({str(path)!r}, 1); os.abort()"
    subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3])
    assert path.read_text() == "1\n"
    write_pidfile(str(path), 2).close()
    assert path.read_text() == "2\n"


@pytest.mark.parametrize("content", ["root:x:0:0:root:/root:/bin/bash\n", "12 13", "-1"])
def test_other_files_are_not_overwritten(tmp_path: Path, content: str) -> None:
    """A path given by mistake costs nothing."""
    path = tmp_path / "important"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is no pid file"):
        write_pidfile(str(path), 1)
    assert path.read_text() == content


def test_link_is_not_followed(tmp_path: Path) -> None:
    """In a directory for all, a link must not lead root elsewhere."""
    (tmp_path / "target").write_text("")
    (tmp_path / "app.pid").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="symbolic link"):
        write_pidfile(str(tmp_path / "app.pid"), 1)


def test_missing_directory(tmp_path: Path) -> None:
    """The reason is the kernel's, the path is said."""
    with pytest.raises(ConfigError, match=r"cannot write .*/none/app.pid: No such file"):
        write_pidfile(str(tmp_path / "none" / "app.pid"), 1)


def test_only_ours_is_removed(tmp_path: Path) -> None:
    """Another inode or another pid at the path is somebody else's."""
    path = tmp_path / "app.pid"
    pidfile = write_pidfile(str(path), 1)
    path.write_text("2\n")
    assert "not ours" in pidfile.remove()[0]
    path.rename(tmp_path / "kept")
    path.write_text("1\n")
    assert "not ours" in pidfile.remove()[0]
    path.unlink()
    assert pidfile.remove() == []
    pidfile.close()
