"""The distribution as users get it: built, installed into an empty environment, and started in all three ways."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import REPOSITORY, ServerProcess

pytestmark = pytest.mark.slow

PACKAGES = {"uwsgi_deploy", "django_integration", "flask_integration"}
OUTSIDE = {"PYTHONPATH": ""}
"""So that what is installed is imported, not the repository."""

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"installed"]
"""
FLASK_APPLICATION = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "installed with Flask"
"""
SETTINGS = """
SECRET_KEY = "test"
DEBUG = True
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django_integration"]
ROOT_URLCONF = "site_urls"
WSGI_APPLICATION = "site_wsgi.application"
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("installed with Django"))]
"""
WSGI = """
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
MANAGE = """
import os
import sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}:\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    sources = folder / "sources"
    ignored = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", "build", "dist")
    shutil.copytree(REPOSITORY, sources, ignore=ignored)
    run(sys.executable, "-m", "build", "--outdir", folder, sources)
    shutil.rmtree(sources)
    return folder


@pytest.fixture(scope="module")
def wheel(distribution: Path) -> Path:
    return next(distribution.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bin folder of a virtual environment with the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    yield folder / "bin"
    shutil.rmtree(folder)


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    sources = {
        str(path.relative_to(REPOSITORY)) for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")
    }
    assert sources <= set(names)


def test_sdist_holds_what_a_packager_needs(distribution: Path) -> None:
    with tarfile.open(next(distribution.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "Makefile", "docs/options.md"}
    wanted |= {"tests/conformance/cases/framing.toml", "example_projects/simple_wsgi/blocks.ini"}
    assert wanted <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", ".git/"))]


def test_only_two_packages_come_with_it(environment: Path) -> None:
    installed = json.loads(run(environment / "pip", "list", "--format", "json", "--disable-pip-version-check"))
    names = {package["name"].lower() for package in installed} - {"pip", "setuptools", "wheel"}
    assert names == {"uwsgi-deploy", "click", "setproctitle"}


def test_commands_answer_without_a_framework(environment: Path) -> None:
    assert "0.1.0" in run(environment / "uwsgi-deploy", "--version")
    assert "--http-socket" in run(environment / "uwsgi-deploy", "--help")
    assert "0.1.0" in run(environment / "python", "-m", "uwsgi_deploy", "--version")


def serves(launcher: tuple[str, ...], *options: str, directory: Path, expected: bytes) -> None:
    with ServerProcess(*options, launcher=launcher, directory=directory, environment=OUTSIDE) as server:
        response = server.get("/")
        assert (response.status, response.body) == (200, expected)
        assert server.stop() == 0


def test_plain_application(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    launcher = (str(environment / "uwsgi-deploy"),)
    serves(launcher, "--http-socket", "127.0.0.1:0", "hello.py", directory=tmp_path, expected=b"installed")


def test_three_commands_start(environment: Path, tmp_path: Path) -> None:
    """Django's and Flask's commands appear as soon as the frameworks are there."""
    run(environment / "pip", "install", "--quiet", "--disable-pip-version-check", "django>=4.2", "flask>=2.3")
    files = {
        "site_settings": SETTINGS,
        "site_urls": URLS,
        "site_wsgi": WSGI,
        "manage": MANAGE,
        "shop": FLASK_APPLICATION,
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    django = (str(environment / "python"), "manage.py", "runuwsgi")
    serves(django, "127.0.0.1:0", directory=tmp_path, expected=b"installed with Django")
    flask = (str(environment / "flask"), "--app", "shop", "uwsgi", "run")
    serves(flask, "-h", "127.0.0.1", "-p", "0", directory=tmp_path, expected=b"installed with Flask")
    plain = (str(environment / "python"), "-m", "uwsgi_deploy")
    options = ("--http-socket", "127.0.0.1:0", "--module", "shop:app")
    serves(plain, *options, directory=tmp_path, expected=b"installed with Flask")
