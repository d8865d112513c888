"""Where control sockets are put and looked for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from uwsgi_deploy.process import runtime_dir

NOBODY = 65534


@pytest.fixture(autouse=True)
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/run and /tmp of these tests."""
    for name in ("RUN", "TEMPORARY"):
        directory = tmp_path / name.lower()
        directory.mkdir()
        monkeypatch.setattr(runtime_dir, name, str(directory))


def test_the_session_comes_first(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert runtime_dir.choose(environ) == str(tmp_path / "uwsgi-deploy")
    assert runtime_dir.choose({"XDG_RUNTIME_DIR": "relative"}) != "relative/uwsgi-deploy"


def test_without_a_session() -> None:
    """Root has prepared a directory under /run; else it is one in /tmp."""
    uid = os.geteuid()
    assert runtime_dir.choose({}) == f"{runtime_dir.TEMPORARY}/uwsgi-deploy-{uid}"
    runtime_dir.prepare(uid)
    assert runtime_dir.choose({}) == f"{runtime_dir.RUN}/uwsgi-deploy/{uid}"


@pytest.mark.parametrize("trap", ["file", "link", "open to others"])
def test_a_directory_that_somebody_else_may_have_made_is_not_used(tmp_path: Path, trap: str) -> None:
    """Anybody can make a name in /tmp."""
    path = Path(runtime_dir.TEMPORARY) / f"uwsgi-deploy-{os.geteuid()}"
    if trap == "file":
        path.write_text("")
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
        path.chmod(0o777)
    assert runtime_dir.choose({}) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_root_prepares_for_the_user_it_becomes() -> None:
    """Twice is as good as once."""
    for _ in range(2):
        runtime_dir.prepare(NOBODY)
        path = f"{runtime_dir.RUN}/uwsgi-deploy/{NOBODY}"
        assert runtime_dir.is_private(path, NOBODY)
        assert not runtime_dir.is_private(path, 0)
    assert path in runtime_dir.all_places({}, 0)
    assert path not in runtime_dir.all_places({}, 1)


def test_preparing_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_dir, "RUN", str(tmp_path / "missing"))
    runtime_dir.prepare(os.geteuid())


def test_sweep_removes_what_killed_servers_left(tmp_path: Path) -> None:
    """And nothing else: not what is listened on, not what has another name, not what is no socket."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "99999991.sock"))
    listening.listen(1)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "99999992.sock"))
    (tmp_path / "99999993.sock").symlink_to(tmp_path / "nowhere")
    (tmp_path / "99999994.sock").write_text("precious")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other.sock"))
    runtime_dir.sweep(str(tmp_path))
    assert {"99999991.sock", "99999994.sock", "other.sock"} <= {path.name for path in tmp_path.iterdir()}
    assert not {"99999992.sock", "99999993.sock"} & {path.name for path in tmp_path.iterdir()}
    listening.close()
