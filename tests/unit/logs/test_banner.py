"""Start-up lines that scripts look for."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.settings import Settings, WorkerSettings
from uwsgi_deploy.logs import banner


@pytest.mark.parametrize(
    ("processes", "threads", "mode"),
    [
        (1, 1, "single process"),
        (2, 1, "preforking"),
        (1, 4, "threaded"),
        (2, 4, "preforking+threaded"),
    ],
)
def test_mode(processes: int, threads: int, mode: str) -> None:
    """uWSGI's names for the modes of operation."""
    workers = WorkerSettings(processes=processes, threads=threads)
    assert banner.mode(workers) == mode
    lines = list(banner.limits(Settings(workers=workers), backlog=100, shared_bytes=4096))
    assert lines[0] == "your server socket listen backlog is limited to 100 connections"
    assert lines[-2:] == [
        f"mapped 4096 bytes (4 KB) for {processes * threads} cores",
        f"*** Operational MODE: {mode} ***",
    ]


def test_lines_that_monitoring_greps() -> None:
    """These words are kept."""
    assert banner.starting("1.2.3", 0).startswith("*** Starting uWSGI-compatible uwsgi-deploy 1.2.3 (64bit) on [")
    assert banner.master_spawned(10) == "spawned uWSGI master process (pid: 10)"
    assert banner.worker_spawned(2, 11, 4) == "spawned uWSGI worker 2 (pid: 11, cores: 4)"
    assert banner.only_worker(11, 4) == "spawned uWSGI worker 1 (and the only) (pid: 11, cores: 4)"
    assert banner.application_ready(1.9, 12).startswith(
        "WSGI app 0 (mountpoint='') ready in 1 seconds on interpreter 0x"
    )
    assert banner.application_ready(1.9, 12).endswith(" pid: 12 (default app)")
