"""Static and media files of projects: what the command makes of the settings, and real servers that send them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.test.utils import override_settings

from tests.django_integration.conftest import Project, Started
from tests.support.server import ServerProcess

Run = Callable[..., Started]
Refused = Callable[..., str]

MANIFEST = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
FILES = """\
    INSTALLED_APPS += ["django.contrib.staticfiles", "company.shop"]
    STATIC_URL = "/assets/"
    STATIC_ROOT = BASE_DIR / "collected"
    STATICFILES_DIRS = [BASE_DIR / "frontend"]
    MEDIA_URL = "/uploads/"
    MEDIA_ROOT = BASE_DIR / "media"
    ALLOWED_HOSTS = ["*"]
    """


def with_files(project: Project, more: str = "") -> Project:
    """A project with an app's static file, one of its own, and an upload."""
    project.configure(FILES)
    project.configure(more)
    for name, content in {
        "company/shop/__init__.py": "",
        "company/shop/static/shop/cart.css": "cart",
        "frontend/logo.svg": "<svg/>",
        "media/photo.jpg": "photo",
    }.items():
        path = project.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return project


def collect(project: Project) -> None:
    python, manage, _ = project.manage
    subprocess.run([python, manage, "collectstatic", "--no-input"], check=True, capture_output=True, timeout=60)


def test_options(runuwsgi: Run, tmp_path: Path) -> None:
    with override_settings(STATIC_URL="/assets/", STATIC_ROOT=tmp_path, MEDIA_URL="/up/", MEDIA_ROOT="/m"):
        assert runuwsgi("--static", "--media", "--processes", "2").arguments == [
            "--processes=2",
            f"--static-map=/assets/={tmp_path}",
            "--static-map=/up/=/m",
        ]
        assert runuwsgi().arguments == []


def test_hashed_names_are_immutable(runuwsgi: Run) -> None:
    apps = [*settings.INSTALLED_APPS, "django.contrib.staticfiles"]
    with override_settings(
        INSTALLED_APPS=apps, STATIC_URL="s/", STATIC_ROOT="/s", STORAGES=settings.STORAGES | MANIFEST, DEBUG=False,
        ALLOWED_HOSTS=["x"],
    ):  # fmt: skip
        mapped, immutable = runuwsgi("--static").arguments
    assert mapped == "--static-map=/s/=/s"
    assert immutable.startswith("--static-immutable=^/s/")


@pytest.mark.parametrize(
    ("names", "option", "message"),
    [
        ({"STATIC_URL": "/s/", "STATIC_ROOT": None}, "--static", "settings.STATIC_ROOT: is not set"),
        ({"STATIC_URL": None}, "--static", "settings.STATIC_URL: is not set"),
        ({"STATIC_URL": "https://cdn.example/s/", "STATIC_ROOT": "/s"}, "--static", "is another host's"),
        ({"MEDIA_URL": "", "MEDIA_ROOT": "/m"}, "--media", "settings.MEDIA_URL: is not set"),
        ({"MEDIA_URL": "/m/", "MEDIA_ROOT": ""}, "--media", "settings.MEDIA_ROOT: is not set"),
    ],
)
def test_what_cannot_be_served_is_refused(
    refused: Refused, names: dict[str, object], option: str, message: str
) -> None:
    with override_settings(**names):
        assert message in refused(option)


def test_debug_serves_what_the_finders_find(project: Project) -> None:
    """As runserver does, without collectstatic: a file is there when it is written."""
    with_files(project)
    with ServerProcess("127.0.0.1:0", "--media", launcher=project.manage) as server:
        assert server.get("/assets/shop/cart.css").body == b"cart"
        assert server.get("/assets/logo.svg").body == b"<svg/>"
        (project.directory / "frontend/new.js").write_text("new")
        assert server.get("/assets/new.js").body == b"new"
        assert server.get("/assets/none.js").status == 404
        assert server.get("/uploads/photo.jpg").body == b"photo"
        assert server.get("/").status == 200


def test_debug_without_static_files(project: Project) -> None:
    with_files(project)
    with ServerProcess("127.0.0.1:0", "--nostatic", launcher=project.manage) as server:
        assert server.get("/assets/logo.svg").status == 404


def test_production_serves_what_was_collected(project: Project) -> None:
    """Only with --static; names that hold a hash of the content are kept by clients for ever."""
    storages = '"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}'
    with_files(project, f"DEBUG = False\nSTORAGES = {{{storages}, **{MANIFEST!r}}}")
    collect(project)
    (hashed,) = (project.directory / "collected").glob("logo.*.svg")
    with ServerProcess("127.0.0.1:0", "--static", "--media", launcher=project.manage) as server:
        plain, kept = server.get("/assets/logo.svg"), server.get(f"/assets/{hashed.name}")
        assert plain.body == kept.body == b"<svg/>"
        assert plain.header("content-type") == "image/svg+xml"
        assert plain.header("cache-control") is None
        assert kept.header("cache-control") == "public, max-age=31536000, immutable"
        assert server.get("/uploads/photo.jpg").body == b"photo"
        assert server.get("/uploads/../company/sites/main/settings.py").status == 404
        assert server.get("/assets/none.js").status == 404
    with ServerProcess("127.0.0.1:0", launcher=project.manage) as server:
        assert server.get("/assets/logo.svg").status == 404
