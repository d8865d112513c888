"""From paths to files: what leads to one, what leads out, and what is never opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from uwsgi_deploy.config.static import Mapping
from uwsgi_deploy.wsgi.static_lookup import Found, Lookup, Obstacle, roots_of


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """www/ with files, and things around it that nobody may have."""
    www = tmp_path / "www"
    (www / "css").mkdir(parents=True)
    (www / "css/a.css").write_text("css")
    (www / "docs").mkdir()
    (www / "docs/index.html").write_text("docs")
    (www / "ünï.txt").write_text("unicode")
    (www / "a b.txt").write_text("blank")
    (www / "app.py").write_text("secret = 1")
    (tmp_path / "www2").mkdir()
    (tmp_path / "www2/secret.txt").write_text("secret")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/logo.png").write_text("logo")
    (www / "out").symlink_to(tmp_path / "www2")
    (www / "logo.png").symlink_to(tmp_path / "shared/logo.png")
    (www / "in.css").symlink_to("css/a.css")
    (www / "loop").symlink_to("loop")
    os.mkfifo(www / "pipe")
    return tmp_path


def lookup(*mappings: Mapping, **arguments: object) -> Lookup:
    log = arguments.pop("log", lambda line: None)
    return Lookup(roots_of(mappings), log=log, **arguments)  # type: ignore[arg-type]


def content(found: Found | Obstacle | None) -> bytes | Obstacle | None:
    """What a file holds; its descriptor is closed."""
    if not isinstance(found, Found):
        return found
    with os.fdopen(found.fd, "rb") as file:
        return file.read()


def wsgi(path: str) -> str:
    return path.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/static/css/a.css", b"css"),
        ("/static//css//a.css", b"css"),
        ("/static/./css/a.css", b"css"),
        ("/static/in.css", b"css"),
        (wsgi("/static/ünï.txt"), b"unicode"),
        ("/static/a b.txt", b"blank"),
        ("/static/css", None),
        ("/static/css/", None),
        ("/static", None),
        ("/static/css/a.css/", None),
        ("/staticcss/a.css", None),
        ("/static2/secret.txt", None),
        ("/css/a.css", None),
        ("static/css/a.css", None),
        ("", None),
        ("/static/../www/css/a.css", None),
        ("/static/..", None),
        ("/static/css/../css/a.css", None),
        ("/static/out/secret.txt", None),
        ("/static/logo.png", None),
        ("/static/loop", None),
        ("/static/pipe", None),
        ("/static/css/a.css\0", None),
        ("/static/\0", None),
        ("/static//etc/passwd", None),
        ("/static/" + "x" * 5000, None),
        ("/static/" + "x/" * 5000, None),
    ],
)
def test_what_paths_lead_to(files: Path, path: str, expected: bytes | None) -> None:
    """Only files below the mapped directory, and nothing by climbing."""
    assert content(lookup(Mapping("/static", str(files / "www"))).find(path)) == expected


def test_two_dots_in_a_name_are_a_name(files: Path) -> None:
    (files / "www/..a..b").write_text("dots")
    assert content(lookup(Mapping("", str(files / "www"))).find("/..a..b")) == b"dots"


def test_safe_places_allow_links(files: Path) -> None:
    found = lookup(Mapping("/static", str(files / "www")), safe=[str(files / "shared")])
    assert content(found.find("/static/logo.png")) == b"logo"
    assert content(found.find("/static/out/secret.txt")) is None


def test_a_link_that_leads_out_is_told_of_once(files: Path) -> None:
    lines: list[str] = []
    found = lookup(Mapping("/static", str(files / "www")), log=lines.append)
    for _ in range(3):
        assert found.find("/static/logo.png") is None
    (line,) = lines
    assert str(files / "shared/logo.png") in line
    assert "static-safe" in line


def test_the_mapped_directory_may_be_a_link_that_changes(files: Path) -> None:
    """As deployments do: `current` leads to the newest release."""
    for release in ("1", "2"):
        (files / release).mkdir()
        (files / release / "v.txt").write_text(release)
    (files / "current").symlink_to(files / "1")
    found = lookup(Mapping("", str(files / "current")))
    assert content(found.find("/v.txt")) == b"1"
    (files / "next").symlink_to(files / "2")
    os.rename(files / "next", files / "current")
    assert content(found.find("/v.txt")) == b"2"


def test_a_file_can_be_mapped(files: Path) -> None:
    found = lookup(Mapping("/robots.txt", str(files / "www/a b.txt")))
    assert content(found.find("/robots.txt")) == b"blank"
    assert found.find("/robots.txt/") is None
    assert found.find("/robots.txt/../app.py") is None


def test_the_first_file_that_exists_is_taken(files: Path) -> None:
    places = (Mapping("", str(files / "nowhere")), Mapping("", str(files / "www")), Mapping("", str(files / "shared")))
    assert content(lookup(*places).find("/css/a.css")) == b"css"
    assert content(lookup(*places, safe=[str(files)]).find("/logo.png")) == b"logo"


def test_the_prefix_can_be_a_part_of_the_file(files: Path) -> None:
    assert content(lookup(Mapping("/css", str(files / "www"), keeps_prefix=True)).find("/css/a.css")) == b"css"


def test_index(files: Path) -> None:
    """With a slash the index is sent, without one the client is sent to it."""
    found = lookup(Mapping("/s", str(files / "www")), index=["none.html", "index.html"])
    assert content(found.find("/s/docs/")) == b"docs"
    assert found.find("/s/docs") is Obstacle.NEEDS_SLASH
    assert found.find("/s/css/") is None


def test_index_that_leads_out_is_no_index(files: Path) -> None:
    (files / "www/css/index.html").symlink_to(files / "www2/secret.txt")
    found = lookup(Mapping("/s", str(files / "www")), index=["index.html"])
    assert found.find("/s/css/") is None
    assert found.find("/s/css") is None


def test_skipped_suffixes(files: Path) -> None:
    found = lookup(Mapping("", str(files / "www")), skipped=[".py"], index=["app.py"])
    assert found.find("/app.py") is None
    assert found.find("/") is None
    assert content(found.find("/css/a.css")) == b"css"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(files: Path) -> None:
    (files / "www/app.py").chmod(0)
    assert lookup(Mapping("", str(files / "www"))).find("/app.py") is Obstacle.FORBIDDEN


def test_paths_are_remembered_until_their_file_is_gone(files: Path) -> None:
    found = lookup(Mapping("", str(files / "www")), seconds=3600.0)
    assert content(found.find("/css/a.css")) == b"css"
    (files / "www/css/a.css").write_text("new")
    assert content(found.find("/css/a.css")) == b"new"
    (files / "www/css/a.css").unlink()
    assert found.find("/css/a.css") is None
    (files / "www/css/a.css").symlink_to(files / "www2/secret.txt")
    assert found.find("/css/a.css") is None


def test_a_remembered_path_does_not_follow_a_new_link(files: Path) -> None:
    """Its directory was exchanged for a link out of the served one."""
    found = lookup(Mapping("", str(files / "www")), seconds=3600.0)
    assert content(found.find("/css/a.css")) == b"css"
    (files / "www2/a.css").write_text("secret")
    (files / "www/css").rename(files / "www/old")
    (files / "www/css").symlink_to(files / "www2")
    assert found.find("/css/a.css") is None


def test_beside(files: Path) -> None:
    """Packed variants lie next to their file; a link is none."""
    found = lookup(Mapping("", str(files / "www")))
    (files / "www/css/a.css.gz").write_text("packed")
    (files / "www/css/a.css.br").symlink_to(files / "www2/secret.txt")
    file = found.find("/css/a.css")
    assert isinstance(file, Found)
    assert content(found.beside(file, b".gz")) == b"packed"
    assert found.beside(file, b".br") is None
    assert found.beside(file, b".zst") is None
    os.close(file.fd)


def test_no_descriptor_is_left_open(files: Path) -> None:
    found = lookup(Mapping("", str(files / "www")), index=["index.html"])
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/docs", "/logo.png", "/pipe", "/loop", "/out/secret.txt", "/nothing"):
        assert not isinstance(found.find(path), Found)
    assert len(os.listdir("/proc/self/fd")) == before
