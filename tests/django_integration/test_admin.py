"""The admin's pages of reports, in a real server with real users."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.django_integration.conftest import Project, new_project
from tests.examples.browser import Browser
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.reports.ring import Ring

LIST = "/admin/uwsgi_deploy/harakirireport/"
CONFIGURATION = """
import os
INSTALLED_APPS += ["django.contrib.admin", "django.contrib.sessions", "django.contrib.messages"]
MIDDLEWARE = [
    "django_integration.middleware.HarakiriMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
STATIC_URL = "static/"
USE_TZ = True
UWSGI = {"harakiri-dir": os.environ.get("REPORTS", "off"), "harakiri": 2}
"""
URLS = """
import time
from django.contrib import admin
urlpatterns += [
    path("admin/", admin.site.urls),
    path("hang/<int:number>/", lambda request, number: time.sleep(60), name="hang"),
]
"""
# root may do all; reader may see reports; editor is staff without that permission.
USERS = """
from django.contrib.auth.models import Permission, User
User.objects.create_superuser("root", password="secret")
reader = User.objects.create_user("reader", password="secret", is_staff=True)
reader.user_permissions.add(Permission.objects.get(codename="view_harakirireport"))
User.objects.create_user("editor", password="secret", is_staff=True)
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A server with an admin, and the reports that it keeps."""

    server: ServerProcess
    ring: Ring

    def browser(self, name: str) -> Browser:
        """Somebody who has logged in."""
        browser = Browser(self.server.url)
        page = browser.submit("/admin/login/?next=/admin/", username=name, password="secret", next="/admin/")
        assert "Site administration" in page.text, self.server.log
        return browser


@pytest.fixture(scope="module")
def admin_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with tables and users."""
    project = new_project(tmp_path_factory.mktemp("admin"))
    project.configure(CONFIGURATION)
    with open(project.directory / "company/sites/main/urls.py", "a", encoding="utf-8") as file:
        file.write(URLS)
    environment = ServerProcess(directory=project.directory).environment
    for command in (["migrate", "--verbosity=0"], ["shell", "-c", USERS]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=project.directory,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return project


@pytest.fixture(scope="module")
def site(admin_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    reports = tmp_path_factory.mktemp("reports") / "ring"
    ring = Ring(str(reports), 200)
    ring.prepare()
    environment = {"REPORTS": str(reports)}
    with ServerProcess("127.0.0.1:0", launcher=admin_project.manage, environment=environment) as server:
        yield Site(server, ring)


@pytest.fixture(autouse=True)
def _no_reports(request: pytest.FixtureRequest) -> None:
    """Each test begins with none."""
    if "site" in request.fixturenames:
        for file in Path(request.getfixturevalue("site").ring.directory).glob("*.json"):
            file.unlink()


def report(number: int, **changes: Any) -> dict[str, Any]:
    """A report; the higher its number, the newer."""
    frames = [
        {"file": "/lib/time.py", "line": 1, "function": "sleep", "code": "", "in_app": False},
        {"file": "/srv/views.py", "line": 43, "function": "buy", "code": "<b>sleep</b>(60)", "in_app": True},
    ]
    return {
        "schema": "uwsgi.harakiri/1",
        "id": f"019ab000-{number:04x}-7000-8000-000000000000",
        "time": f"2026-11-21T19:{number % 60:02}:00.000Z",
        "kind": "deadline",
        "outcome": "answered_504",
        "hint": "It slept.",
        "worker": {"id": 1, "pid": 812},
        "request": {"method": "GET", "path": f"/buy/{number}/", "route": "buy/<int:number>/", "view": "shop.buy"},
        "timing": {"elapsed": 2.04, "limit": 2.0, "limit_origin": "harakiri"},
        "culprit": frames[1],
        "stack": frames,
        **changes,
    }


def rows(text: str) -> list[str]:
    """The routes in the list."""
    return re.findall(r'<td class="long">([^<]*)</td>\s*<td class="long">buy', text)


def test_permissions(site: Site) -> None:
    """Log in first; then the permission decides, for every page."""
    site.ring.add(report(1))
    pages = [LIST, f"{LIST}{report(1)['id']}/", f"{LIST}{report(1)['id']}/json/"]
    stranger, editor, reader = Browser(site.server.url), site.browser("editor"), site.browser("reader")
    for page in pages:
        assert "/admin/login/" in stranger.get(page).url
        assert editor.get(page).status == 403
        assert reader.get(page).status == 200
    assert "harakirireport" in reader.get("/admin/").text
    assert "harakirireport" not in editor.get("/admin/").text


def test_nothing_can_be_changed(site: Site) -> None:
    """There is no page to add, change or delete one, not even for a superuser."""
    site.ring.add(report(1))
    root = site.browser("root")
    identifier = report(1)["id"]
    assert root.get(f"{LIST}add/").status == 404
    assert root.get(f"{LIST}{identifier}/change/").status == 404
    assert root.get(f"{LIST}{identifier}/delete/").status == 404
    assert f"{LIST}add/" not in root.get(LIST).text
    assert len(site.ring.ids()) == 1


def test_list(site: Site) -> None:
    """The newest first; narrowed down by kind, route and words; text is text."""
    site.ring.add(report(1))
    site.ring.add(report(2, kind="hard", outcome="killed"))
    site.ring.add(report(3, request={"method": "GET", "path": "/<i>x", "route": ""}))
    root = site.browser("root")
    text = root.get(LIST).text
    assert rows(text) == ["/&lt;i&gt;x", "buy/&lt;int:number&gt;/", "buy/&lt;int:number&gt;/"]
    assert "<i>x" not in text
    assert "3 harakiri reports" in text
    assert "stuck (1)" in text
    assert rows(root.get(f"{LIST}?kind=hard").text) == ["buy/&lt;int:number&gt;/"]
    assert len(rows(root.get(f"{LIST}?route=buy%2F%3Cint%3Anumber%3E%2F").text)) == 2
    assert len(rows(root.get(f"{LIST}?q=SHOP.buy+slept").text)) == 2
    found = root.get(f"{LIST}?q=%22%3E%3Cscript%3E").text
    assert "No report is like that." in found
    assert "<script>" not in found.partition("<body")[2].partition("content-main")[2]


def test_pages_of_the_list(site: Site) -> None:
    """Fifty each, and the filter stays."""
    for number in range(61):
        site.ring.add(report(number))
    root = site.browser("root")
    assert len(rows(root.get(f"{LIST}?kind=deadline").text)) == 50
    assert "?kind=deadline&amp;p=2" in root.get(f"{LIST}?kind=deadline").text
    assert len(rows(root.get(f"{LIST}?kind=deadline&p=2").text)) == 11
    assert len(rows(root.get(f"{LIST}?p=nonsense").text)) == 50


def test_one_report(site: Site) -> None:
    """What is in it, escaped, with the line to blame; and as JSON."""
    site.ring.add(report(7))
    root = site.browser("root")
    page = root.get(f"{LIST}{report(7)['id']}/")
    assert "GET /buy/7/ ran for 2.0 s" in page.text
    assert "It slept." in page.text
    assert "&lt;b&gt;sleep&lt;/b&gt;(60)" in page.text
    assert re.search(r'<tr class="in-app culprit">\s*<td>.*buy</td>', page.text)
    raw = root.get(f"{LIST}{report(7)['id']}/json/")
    assert raw.headers["Content-Type"] == "application/json"
    assert json.loads(raw.body) == report(7)


def test_a_report_that_is_gone(site: Site) -> None:
    root = site.browser("root")
    assert root.get(f"{LIST}{report(7)['id']}/").status == 404
    assert "No request has taken too long." in root.get(LIST).text


def test_no_directory(admin_project: Project) -> None:
    """A server that keeps none says so."""
    with ServerProcess("127.0.0.1:0", launcher=admin_project.manage) as server:
        root = Site(server, Ring("/nonexistent", 1)).browser("root")
        assert "There is no directory of reports" in root.get(LIST).text
        assert root.get(f"{LIST}{report(7)['id']}/").status == 404


def test_from_the_hang_to_the_page(site: Site) -> None:
    """A view that hangs is in the list, with its route and its line, and without the secrets of its request."""
    root = site.browser("root")
    assert root.get("/hang/7/?token=abc").status == 504
    (identifier,) = wait_until(site.ring.ids, 20, what="the report")
    text = root.get(LIST).text
    assert "hang/&lt;int:number&gt;/" in text
    page = root.get(f"{LIST}{identifier}/").text
    assert "company/sites/main/urls.py" in page
    assert "time.sleep" in page
    assert "abc" not in page.replace(identifier, "")
    cookie = next(cookie.value for cookie in root.cookies if cookie.name == "sessionid")
    assert cookie not in page
    assert cookie not in root.get(f"{LIST}{identifier}/json/").text
