"""no_nginx: a guestbook over TLS, its static files, and the way from HTTP to HTTPS, with curl and a real browser."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.chromium import PROGRAM, Chromium
from tests.support.server import ServerProcess

MANAGE = [sys.executable, "manage.py"]
ACCOUNT = {
    "DJANGO_SUPERUSER_USERNAME": "ada",
    "DJANGO_SUPERUSER_PASSWORD": "secret",
    "DJANGO_SUPERUSER_EMAIL": "ada@example.com",
}
ADDRESSES = {"HTTPS_ADDRESS": "127.0.0.1:0", "HTTP_ADDRESS": "127.0.0.1:0"}


@pytest.fixture
def site(examples: Path) -> Path:
    """The project as its README sets it up."""
    project = examples / "no_nginx"
    environment = ServerProcess(directory=project).environment | ACCOUNT
    for command in (
        ["./certificate.sh"],
        [*MANAGE, "migrate", "--verbosity=0"],
        [*MANAGE, "createsuperuser", "--no-input"],
        [*MANAGE, "collectstatic", "--no-input", "--verbosity=0"],
    ):
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, timeout=60)
    return project


@pytest.fixture
def server(site: Path) -> Iterator[ServerProcess]:
    launcher = [*MANAGE, "runuwsgi", "--static"]
    with ServerProcess(launcher=launcher, directory=site, environment=ADDRESSES) as server:
        yield server


def curl(site: Path, *arguments: str) -> str:
    """What curl prints, heads of answers included; it trusts the site's certificate only."""
    command = ["curl", "-sSi", "--max-time", "20", "--cacert", str(site / "tls/certificate.pem"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def key_of(site: Path) -> str:
    """The certificate's public key as `Chromium` wants it."""
    pem = subprocess.run(
        ["openssl", "pkey", "-in", site / "tls/key.pem", "-pubout", "-outform", "DER"], check=True, capture_output=True
    )
    return b64encode(sha256(pem.stdout).digest()).decode()


def test_with_curl(server: ServerProcess, site: Path) -> None:
    https, http = (f"localhost:{port}" for _, port in server.addresses)
    page = curl(site, f"https://{https}/")
    assert page.startswith("HTTP/1.1 200 ")
    assert "Strict-Transport-Security: max-age=3600" in page
    assert "You came over https from 127.0.0.1." in page
    style = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    sent = curl(site, f"https://{https}{style}")
    assert "immutable" in sent
    assert "font: 1rem/1.5 sans-serif" in sent
    led = curl(site, f"http://{http}/admin/?next=1")
    assert led.startswith("HTTP/1.1 301 ")
    assert f"Location: https://{https}/admin/?next=1" in led
    assert curl(site, "-L", f"http://{http}/").count("HTTP/1.1 ") == 2
    assert curl(site, f"http://{https}/").startswith("HTTP/1.1 400 ")
    assert server.stop() == 0


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
def test_with_a_browser(server: ServerProcess, site: Path) -> None:
    """Sign the guestbook, then log in to the admin, which has style sheets, and find the entry."""
    (_, https), (_, http) = server.addresses
    with Chromium(trusted_key=key_of(site)) as browser:
        browser.open(f"http://localhost:{http}/")
        assert browser.url == f"https://localhost:{https}/"
        assert "Nobody has been here yet." in browser.text
        browser.fill("input[name=name]", "Grace")
        browser.fill("input[name=text]", "was here")
        browser.click("button")
        assert "Grace was here" in browser.text
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(250, 250, 247)"

        browser.open(f"https://localhost:{https}/admin/")
        browser.fill("input[name=username]", "ada")
        browser.fill("input[name=password]", "secret")
        browser.click("input[type=submit]")
        assert "Site administration" in browser.text
        assert browser.run("[...document.styleSheets].every(sheet => sheet.cssRules.length > 0)")
        assert browser.run("document.styleSheets.length") >= 3
        browser.open(f"https://localhost:{https}/admin/guestbook/entry/")
        assert "was here" in browser.text
        assert browser.run("document.cookie.includes('csrftoken') && location.protocol") == "https:"
