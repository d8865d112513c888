"""One table."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Note(models.Model):
    """A line of text."""

    text = models.CharField(max_length=100)

    class Meta:
        app_label = "green_django"
        ordering: ClassVar[list[str]] = ["id"]
