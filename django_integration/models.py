"""What permissions and the admin need to know of reports. There is no table: reports are files of the server."""

from __future__ import annotations

from django.db import models


class HarakiriReport(models.Model):
    """A report of a request that took too long; the permission to see it is `uwsgi_deploy.view_harakirireport`."""

    id = models.CharField(max_length=64, primary_key=True)

    class Meta:
        managed = False
        default_permissions = ("view",)
        verbose_name = "harakiri report"
        verbose_name_plural = "harakiri reports"
