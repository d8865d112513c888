"""`uwsgi-deploy VERB` for a server under test."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tests.support.server import LAUNCHER, ServerProcess


def verb(
    server: ServerProcess, *words: str, launcher: Sequence[str] = LAUNCHER, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a verb in the server's directory and environment and wait for its end."""
    return subprocess.run(
        [*launcher, *words],
        cwd=server.directory,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
