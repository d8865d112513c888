"""The documents say what is true of the sources: files exist, options exist, generated pages are fresh."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import uwsgi_deploy
from tests.architecture.sources import PACKAGES, REPOSITORY
from uwsgi_deploy.cli.verbs import PLACE_ARGUMENTS, VERBS
from uwsgi_deploy.config.controls import CONTROLS_BY_NAME
from uwsgi_deploy.config.schema import BY_NAME

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "example_projects/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
SOURCE = re.compile(rf"`((?:{'|'.join((*PACKAGES, 'tests', 'docs', 'benchmarks', 'example_projects'))})/[\w./-]*)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LONG_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)")

OTHER_PROGRAMS = re.compile(
    r"\b(?:pip|pytest|ruff|mypy|make|git|apt-get|curl|docker|nginx|wrk|honcho|heroku|bench\.py)\b"
)


def identify(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_the_documents_are_there() -> None:
    expected = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"]
    expected += [f"docs/{name}.md" for name in ("architecture", "request-path", "process-life", "configuration")]
    expected += [f"docs/{name}.md" for name in ("why", "limits", "options")]
    assert [name for name in expected if not (REPOSITORY / name).exists()] == []


def test_options_page_is_fresh() -> None:
    command = [sys.executable, "docs/generate_options.py", "--check"]
    result = subprocess.run(
        command, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_links_lead_somewhere(document: Path) -> None:
    targets = [target for target in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_named_files_exist(document: Path) -> None:
    """A path in backquotes that begins at the root of the repository is one that exists."""
    named = SOURCE.findall(document.read_text(encoding="utf-8"))
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def command_lines(text: str) -> Iterator[str]:
    """Lines of shell blocks that start this server, continuation lines joined."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh", "console", "shell"):
            for line in block.replace("\\\n", " ").splitlines():
                if re.search(r"uwsgi-deploy |runuwsgi|uwsgi run|-m uwsgi_deploy", line):
                    yield line


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_named_options_exist(document: Path) -> None:
    """Options in shown commands are options of the server, of a verb, or of the framework's command."""
    verbs = {argument.name for verb in VERBS for argument in (*PLACE_ARGUMENTS, *verb.arguments)}
    frameworks = {"help", "version", "app", "skip-checks", "settings", "debug", "host", "port"}
    frameworks |= {"static", "media", "nostatic", "offload-static"}
    known = {*BY_NAME, *CONTROLS_BY_NAME, *verbs, *frameworks}
    lines = [line for line in command_lines(document.read_text(encoding="utf-8")) if not OTHER_PROGRAMS.search(line)]
    assert [name for line in lines for name in LONG_OPTION.findall(line) if name not in known] == []


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert uwsgi_deploy.__version__ == project["version"]
    assert f"## [{project['version']}]" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
