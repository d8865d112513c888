"""slow_reports: click what hangs in a real browser; its report is in the log, in the admin, in a mail, and listed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.browser import Browser
from tests.support.chromium import PROGRAM, Chromium
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

PYTHON = sys.executable
REPORTS = "/admin/uwsgi_deploy/harakirireport/"


def manage(site: Path, *command: str) -> str:
    """Standard output of `manage.py COMMAND`."""
    environment = ServerProcess(directory=site).environment
    return subprocess.run(
        [PYTHON, "manage.py", *command],
        cwd=site,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


@pytest.fixture
def site(examples: Path) -> Path:
    """The project as its README sets it up."""
    project = examples / "slow_reports"
    for command in (["migrate", "--verbosity=0"], ["createdemo"], ["createdemo"]):
        manage(project, *command)
    return project


@pytest.fixture
def server(site: Path) -> Iterator[ServerProcess]:
    options = ("127.0.0.1:0", "--harakiri-dir", site / "reports")
    with ServerProcess(*options, launcher=[PYTHON, "manage.py", "runuwsgi"], directory=site) as server:
        yield server


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
def test_a_visit(server: ServerProcess, site: Path) -> None:
    """What the README says, step by step."""
    with Chromium() as browser:
        browser.open(f"{server.url}/")
        assert "Ways to take too long" in browser.text
        browser.click("a[href='/sleep/']")
        assert "This took too long" in browser.text
        assert "/sleep/ was ended after 3 seconds" in browser.text
        browser.click("a[href='/']")
        browser.click("a[href='/partial/']")
        assert "everything else is" in browser.text

        server.wait_for_log(r"report +\S+ \(soft, continues\)", timeout=20)
        server.wait_for_log(r"report +\S+ \(deadline, answered_504", timeout=20)
        server.wait_for_log(r"route sleep/, view waits\.views\.sleep", timeout=20)
        server.wait_for_log(r"time\.sleep\(FOREVER\)", timeout=20)

        browser.open(f"{server.url}{REPORTS}")
        browser.fill("input[name=username]", "demo")
        browser.fill("input[name=password]", "demo")
        browser.click("input[type=submit]")
        assert "3 harakiri reports" in browser.text
        browser.click("#changelist-filter a[href*='kind=deadline']")
        assert "2 of 3" in browser.text
        browser.click("#changelist-filter a[href*='route=sleep']")
        browser.click("#result_list tbody th a")
        assert "GET /sleep/ ran for 3.0 s" in browser.text
        assert browser.run("document.querySelector('tr.culprit').innerText").startswith("▶ sleep")
        assert "waits.views.sleep" in browser.text
    listed = manage(site, "uwsgi", "harakiri", "list")
    assert len([line for line in listed.splitlines() if "sleep/" in line]) == 2
    mails = site / "mail"
    wait_until(lambda: any(b"HarakiriTimeout" in mail.read_bytes() for mail in mails.glob("*")), 20, what="a mail")


WAITS_ON = {
    "loop/": "cpu",
    "regex/": "cpu",
    "lock/": "lock",
    "http/books/": "http",
    "sql/": "database",
    "subprocess/": "subprocess",
}


def test_ways_to_hang(server: ServerProcess) -> None:
    """The index promises what happens; the others go on meanwhile."""
    visitor = Browser(server.url)
    for path in WAITS_ON:
        page = visitor.get(f"/{path}")
        assert page.status == 504
        assert "This took too long" in page.text, path
    for path, kind in WAITS_ON.items():
        server.wait_for_log(rf"(?s)route {path.replace('books', '<slug:shop>')}.*?waits on +{kind}", timeout=20)
    assert "token=secret" not in server.log


def test_what_cannot_be_interrupted(server: ServerProcess) -> None:
    """It is answered for by the server, and its worker replaced; the site is there all the time."""
    visitor = Browser(server.url)
    page = visitor.get("/stubborn/")
    assert page.status == 504
    assert "504 Gateway Timeout" in page.text
    assert visitor.get("/").status == 200
    server.wait_for_log(r"^Respawned uWSGI worker", timeout=30)


def test_what_is_undone(server: ServerProcess, site: Path) -> None:
    """/many-queries/ changes the demo user, and does not come to its end."""
    assert Browser(server.url).get("/many-queries/").status == 504
    shown = manage(
        site, "shell", "-c", "from django.contrib.auth.models import User as U; print(U.objects.get().first_name)"
    )
    assert "Changed" not in shown
    server.wait_for_log(r"database +\d+ statements", timeout=20)


def test_what_may_take_longer(server: ServerProcess) -> None:
    """A decorator, a URL name, a path."""
    visitor = Browser(server.url)
    for path in ("patient/", "export/", "exempt/"):
        assert visitor.get(f"/{path}").status == 200


def test_every_way_is_on_the_index(server: ServerProcess) -> None:
    """And every link leads somewhere."""
    text = Browser(server.url).get("/").text
    urls = (Path(__file__).parents[2] / "example_projects/slow_reports/waits/urls.py").read_text()
    names = [line.split('"')[1] for line in urls.splitlines() if line.strip().startswith("path(")]
    missing = [name for name in names if name and f'href="/{name.replace("<slug:shop>", "books")}"' not in text]
    assert missing == []
