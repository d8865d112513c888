"""Django configured for tests in this process, and small projects on disk for real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import NoReturn

import django
import pytest
from django.conf import settings
from django.core.management import execute_from_command_line

from uwsgi_deploy import Handover

if not settings.configured:
    settings.configure(
        DEBUG=True,
        SECRET_KEY="tests",
        ROOT_URLCONF="tests.django_integration.urls",
        INSTALLED_APPS=["django_integration"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        WSGI_APPLICATION="tests.django_integration.urls.application",
        LOGGING_CONFIG=None,
    )
    django.setup()


@dataclass(frozen=True, slots=True)
class Started:
    """What the command would have become."""

    arguments: list[str]
    handover: Handover

    @property
    def options(self) -> list[tuple[str, str | None]]:
        return list(self.handover.options)

    @property
    def defaults(self) -> dict[str, str | None]:
        return dict(self.handover.defaults)


class Replaced(BaseException):
    """Stands for the exec that does not return."""


@pytest.fixture
def runuwsgi(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Started]:
    """`manage.py runuwsgi ARGUMENTS` up to the moment in which the process would be replaced."""
    started: list[Started] = []

    def replace_process(arguments: list[str], handover: Handover) -> NoReturn:
        started.append(Started(list(arguments), handover))
        raise Replaced

    monkeypatch.setattr("django_integration.management.commands.runuwsgi.replace_process", replace_process)
    for name in ("PORT", "WEB_CONCURRENCY", "DYNO"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Started:
        with pytest.raises(Replaced):
            execute_from_command_line(["manage.py", "runuwsgi", *arguments])
        return started.pop()

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`manage.py runuwsgi ARGUMENTS` that fails: what it says, without argparse's usage."""

    def become_the_server(*_command: object) -> None:
        raise AssertionError("nothing was refused")

    monkeypatch.setattr("os.execve", become_the_server)
    monkeypatch.setattr("os.execv", become_the_server)

    def run(*arguments: str) -> str:
        """The last line of standard error."""
        with pytest.raises(SystemExit) as ended:
            execute_from_command_line(["manage.py", "runuwsgi", "--no-color", *arguments])
        assert ended.value.code in (1, 2)
        return capsys.readouterr().err.strip().splitlines()[-1]

    return run


MANAGE = """\
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "company.sites.main.settings")
execute_from_command_line(sys.argv)
"""
SETTINGS = """\
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parents[3]
DEBUG = True
SECRET_KEY = "tests"
INSTALLED_APPS = ["django_integration", "django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
ROOT_URLCONF = "company.sites.main.urls"
WSGI_APPLICATION = "company.sites.main.wsgi.application"
"""
URLS = """\
import json, os, sys, threading
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

def facts(request):
    return JsonResponse({
        "settings": settings.SETTINGS_MODULE,
        "variable": os.environ["DJANGO_SETTINGS_MODULE"],
        "cwd": os.getcwd(),
        "handover": "_UWSGI_DEPLOY_HANDOVER" in os.environ,
        "path": sys.path,
        "wsgi": "company.sites.main.wsgi" in sys.modules,
    })

urlpatterns = [path("", facts)]
"""
WSGI = """\
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A Django project whose settings lie three packages deep."""

    directory: Path

    @property
    def manage(self) -> list[str]:
        return [sys.executable, str(self.directory / "manage.py"), "runuwsgi"]

    def configure(self, text: str) -> None:
        """Add lines to the settings."""
        with open(self.directory / "company/sites/main/settings.py", "a", encoding="utf-8") as file:
            file.write(dedent(text) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A new project, without tables in its database."""
    return new_project(tmp_path)


def new_project(folder: Path) -> Project:
    """The files of a project, in a new folder below this one."""
    package = folder / "project/company/sites/main"
    package.mkdir(parents=True)
    (folder / "project/manage.py").write_text(MANAGE)
    for name, text in (("settings", SETTINGS), ("urls", URLS), ("wsgi", WSGI)):
        (package / f"{name}.py").write_text(text)
    return Project(folder / "project")
