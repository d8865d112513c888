"""The names of processes, as uWSGI's procname options combine."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.settings import IdentitySettings
from uwsgi_deploy.process.titles import MASTER, title, worker_role

CASES = [
    (IdentitySettings(), "uWSGI master", "uWSGI worker 1"),
    (IdentitySettings(auto_procname=False), None, None),
    (IdentitySettings(procname="app"), "app", "app"),
    (IdentitySettings(auto_procname=False, procname="app"), "app", "app"),
    (IdentitySettings(procname_master="boss"), "boss", "uWSGI worker 1"),
    (IdentitySettings(procname="app", procname_master="boss"), "boss", "app"),
    (IdentitySettings(procname_prefix="blog-"), "blog-uWSGI master", "blog-uWSGI worker 1"),
    (IdentitySettings(procname_prefix_spaced="blog"), "blog uWSGI master", "blog uWSGI worker 1"),
    (IdentitySettings(procname_append=" (blog)"), "uWSGI master (blog)", "uWSGI worker 1 (blog)"),
    (IdentitySettings(auto_procname=False, procname_prefix="a "), "a uWSGI master", "a uWSGI worker 1"),
]


@pytest.mark.parametrize(("settings", "master", "worker"), CASES)
def test_title(settings: IdentitySettings, master: str | None, worker: str | None) -> None:
    """Each combination of options names both kinds of processes."""
    assert (title(settings, MASTER), title(settings, worker_role(1))) == (master, worker)
