"""What the guestbook stores."""

from django.db import models


class Entry(models.Model):
    """A line that a visitor left."""

    name = models.CharField(max_length=80)
    text = models.CharField(max_length=500)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created"]
        verbose_name_plural = "entries"

    def __str__(self):
        return f"{self.name}: {self.text}"
