"""The packages under test as lists of modules, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("uwsgi_deploy", "django_integration", "flask_integration")


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    name: str
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def modules() -> Iterator[Module]:
    """Every module of every package."""
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            yield Module(".".join(part for part in parts if part != "__init__"), path)


def imported_names(node: ast.AST) -> list[str]:
    """The modules that an import statement names; nothing for other statements."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
