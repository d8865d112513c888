"""A fresh copy of the example projects for each test: they write databases next to themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.server import REPOSITORY

LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.sqlite3", "instance", "mail", "run", "static_root")


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """The folder of a private copy of example_projects, in which every fixed port is a free one."""
    copy = tmp_path / "example_projects"
    shutil.copytree(REPOSITORY / "example_projects", copy, ignore=LEFTOVERS)
    for ini in copy.glob("*/*.ini"):
        text = ini.read_text().replace("127.0.0.1:8000", "127.0.0.1:0").replace("127.0.0.1:5000", "127.0.0.1:0")
        ini.write_text(text.replace("/tmp/", f"{tmp_path}/"))
    return copy
