"""Fixtures that every test may ask for."""

from __future__ import annotations

from tests.support.postgres import postgres, postgres_cluster

__all__ = ["postgres", "postgres_cluster"]
