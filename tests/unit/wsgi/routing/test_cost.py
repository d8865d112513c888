"""Servers without rules have nothing of them."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.sources import REPOSITORY

SCRIPT = """
import sys
import uwsgi_deploy.master.boot, uwsgi_deploy.worker.worker, uwsgi_deploy.config.checks
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.worker.prepared import prepare
assert prepare(Settings(), ()).routing is None
print(*(name for name in sys.modules if "routing" in name))
"""


def test_nothing_is_loaded_for_servers_without_rules() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split() == ["uwsgi_deploy.config.settings.routing"]
