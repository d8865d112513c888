"""Debian's nginx, in front of a server under test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

BEGINNING = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
"""
"""Of every configuration; the block `http` is still open. Wants `user` and `folder`."""

CONFIGURATION = (
    BEGINNING
    + """
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""
)


@contextmanager
def nginx_with(folder: Path, locations: str) -> Iterator[tuple[str, int]]:
    """nginx with these locations, in which PORT is its own port; its address."""
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o711)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = "user root;" if os.getuid() == 0 else ""
    text = CONFIGURATION.format(folder=folder, port=port, user=user, locations=locations.replace("PORT", str(port)))
    (folder / "nginx.conf").write_text(text)
    assert NGINX is not None
    nginx = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: nginx.poll() is None and _listens(port), what="nginx to listen")
        yield "127.0.0.1", port
    finally:
        nginx.terminate()
        nginx.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
