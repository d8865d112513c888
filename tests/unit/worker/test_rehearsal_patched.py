"""Nothing that the server does in a template needs gevent's event loop: workers would inherit it."""

from __future__ import annotations

import subprocess
import sys

from tests.support.server import REPOSITORY

SCRIPT = """
from uwsgi_deploy import native
from uwsgi_deploy.worker import rehearsal
from gevent import monkey
monkey.patch_all()
rehearsal.rehearse()
one, other = native.socket_pair()
one.sendall(b"x")
assert other.recv(1) == b"x"
one.close()
assert other.recv(1) == b""
from gevent._hub_local import get_hub_if_exists
assert get_hub_if_exists() is None
"""


def test_template_has_no_event_loop() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
