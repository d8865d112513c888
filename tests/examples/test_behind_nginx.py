"""behind_nginx: the configuration that is made for nginx, in a real nginx, in front of the site."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.examples.browser import TOKEN, Browser
from tests.support.nginx import NGINX, needs_nginx
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.waiting import wait_until

pytestmark = needs_nginx

PART = b'--limit\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'


@dataclass(frozen=True, slots=True)
class Site:
    """nginx's address, and the project behind it."""

    url: str
    project: Path

    def upload(self, content: bytes) -> tuple[int, str]:
        """Send a file through the form."""
        browser = Browser(self.url)
        token = TOKEN.search(browser.get("/").text)
        assert token is not None
        body = PART % (b"csrfmiddlewaretoken", b"", token[1].encode())
        body += PART % (b"file", b'; filename="a.bin"', content) + b"--limit--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=limit", "Origin": self.url}
        page = browser.request("POST", "/upload/", body, headers)
        return page.status, page.text


@pytest.fixture
def site(examples: Path) -> Iterator[Site]:
    """As the README says."""
    project = examples / "behind_nginx"
    for parent in (project, *project.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o711)
    (project / "run").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = ServerProcess(directory=project).environment
    collect = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"]
    subprocess.run(collect, cwd=project, env=environment, check=True)
    show = [*LAUNCHER, "--ini", "uwsgi.ini", f"--show-nginx={address}"]
    shown = subprocess.run(show, cwd=project, env=environment, check=True, capture_output=True, text=True)
    assert shown.stderr == ""
    (project / "run" / "site.conf").write_text(shown.stdout)
    with ServerProcess("--ini", "uwsgi.ini", directory=project):
        assert NGINX is not None
        user = ["-g", "user root;"] if os.getuid() == 0 else []
        nginx = subprocess.Popen(
            [NGINX, "-e", "stderr", "-p", str(project), "-c", "nginx.conf", *user], stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: nginx.poll() is not None or answers(address), what="nginx to listen")
            assert nginx.poll() is None, nginx.communicate()
            yield Site(f"http://{address}", project)
        finally:
            nginx.terminate()
            nginx.communicate(timeout=10)


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_the_site(site: Site) -> None:
    """Client and address are known, forms are accepted, files and large uploads are nginx's."""
    browser = Browser(site.url)
    page = browser.get("/")
    assert f"You are 127.0.0.1, and asked for {site.url}/." in page.text
    assert page.headers["Server"].startswith("nginx/")

    style = re.search(r'href="(/static/pages/style\.[0-9a-f]{12}\.css)"', page.text)
    assert style is not None
    file = browser.get(style[1])
    assert (file.status, file.headers["Content-Type"]) == (200, "text/css")
    assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Cache-Control" not in browser.get("/static/pages/style.css").headers
    assert browser.get("/static/../uwsgi.ini").status in (400, 404)

    content = os.urandom(5_000_000)
    status, text = site.upload(content)
    assert (status, text) == (200, f"a.bin: 5000000 bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\n")
    status, text = site.upload(bytes(11_000_000))
    assert status == 413
    assert "<center>nginx" in text

    assert len(browser.get("/clock/?times=3&pause=0.01").text.split()) == 3


def test_manage_py_shows_the_same(examples: Path) -> None:
    """From Django's settings; nothing else is printed, and no server is started."""
    project = examples / "behind_nginx"
    environment = ServerProcess(directory=project).environment
    options = ("--socket", "run/site.sock", "--static", "--show-nginx=www.example.com")
    command = [sys.executable, "manage.py", "runuwsgi", *options]
    shown = subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True)
    assert shown.stdout.startswith("# Made by uwsgi-deploy")
    assert f"server unix:{project}/run/site.sock;" in shown.stdout
    assert f"alias {project}/static_root/;" in shown.stdout
    assert "server_name www.example.com;" in shown.stdout


def test_flask_shows_its_own(examples: Path) -> None:
    project = examples / "flask_api"
    environment = ServerProcess(directory=project).environment
    command = [sys.executable, "-m", "flask", "uwsgi", "run", "--show-nginx"]
    shown = subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True)
    assert shown.stdout.startswith("# Made by uwsgi-deploy")
    assert "server 127.0.0.1:5000;" in shown.stdout
