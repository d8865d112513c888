"""The adapter as a Django application: `INSTALLED_APPS = [..., "django_integration"]`."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from django_integration import checks, databases, signals
from uwsgi_deploy import instrument


class UwsgiDeployConfig(AppConfig):
    """Brings the commands runuwsgi and uwsgi, the checks of `UWSGI`, and reports of late requests.

    `UWSGI_INSTRUMENT = ["http", "cache"]` in the settings has reports name the servers and caches that requests ask.
    """

    name = "django_integration"
    label = "uwsgi_deploy"
    verbose_name = "uwsgi-deploy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register()
        databases.watch()
        signals.connect()
        instrument(*getattr(settings, "UWSGI_INSTRUMENT", ()))
