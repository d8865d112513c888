"""Make the pictures in docs/images from the example project slow_reports, with Chromium: `python docs/screenshots.py`.

Run it from the repository, in the environment of the tests. The site runs in a copy of its folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.examples.browser import Browser  # noqa: E402 - found by the line above
from tests.support.chromium import Chromium  # noqa: E402
from tests.support.server import ServerProcess  # noqa: E402

IMAGES = REPOSITORY / "docs/images"
# Pages that make reports worth looking at, and the one whose report is shown.
LATE = ("sleep", "lock", "http/books", "stubborn", "sleep", "soft")
SHOWN = "sql"
ADMIN = "/admin/uwsgi_deploy/harakirireport/"


def main() -> None:
    """Both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "slow_reports"
        shutil.copytree(
            REPOSITORY / "example_projects/slow_reports", site, ignore=shutil.ignore_patterns("*.sqlite3", "mail")
        )
        environment = ServerProcess(directory=site).environment
        for command in (["migrate", "--verbosity=0"], ["createdemo"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=site, env=environment, check=True)
        launcher = [sys.executable, "manage.py", "runuwsgi"]
        options = ("127.0.0.1:0", "--harakiri-dir", site / "reports")
        with ServerProcess(*options, launcher=launcher, directory=site) as server, Chromium(width=1300) as browser:
            for page in (*LATE, SHOWN):
                Browser(server.url).get(f"/{page}/")
            browser.open(f"{server.url}/admin/login/?next={ADMIN}")
            browser.fill("input[name=username]", "demo")
            browser.fill("input[name=password]", "demo")
            browser.click("input[type=submit]")
            browser.picture(IMAGES / "admin-reports.png", height=560)
            browser.click("#result_list tbody th a")
            browser.picture(IMAGES / "admin-report.png", height=860)
    for image in sorted(IMAGES.glob("admin-*.png")):
        print(f"{image.relative_to(REPOSITORY)}: {image.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
