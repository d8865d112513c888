"""An exec that fails although everything was tried before: the present image has to go on as it was."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.image import Image
from uwsgi_deploy.master.manifest import Manifest
from uwsgi_deploy.master.reexecution import become


@pytest.fixture
def open_descriptor() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


@pytest.mark.parametrize(
    ("command", "directory", "code"),
    [
        ("no/such/interpreter", ".", errno.ENOENT),
        ("not-executable", ".", errno.EACCES),
        ("/bin/true", "gone", errno.ENOENT),
    ],
)
def test_failed_exec_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_descriptor: int, command: str, directory: str, code: int
) -> None:
    """The reason comes back; directory and descriptors are as before, so that no child inherits what is passed on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not-executable").touch(mode=0o600)
    image = Image(Settings(), command=(command,), directory=directory)
    manifest = Manifest(fleet={}, channels={}, listeners=[], pidfiles=[], boards=[], descriptors=(open_descriptor,))
    before = set(os.listdir("/proc/self/fd"))
    try:
        assert become(image, manifest).errno == code
        assert Path.cwd() == tmp_path
        assert not os.get_inheritable(open_descriptor)
        assert set(os.listdir("/proc/self/fd")) == before
    finally:
        os.close(open_descriptor)
