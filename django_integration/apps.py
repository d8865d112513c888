"""The adapter as a Django application: `INSTALLED_APPS = [..., "django_integration"]`."""

from __future__ import annotations

from django.apps import AppConfig

from django_integration import checks


class UwsgiDeployConfig(AppConfig):
    """Brings the command runuwsgi and the checks of `UWSGI`."""

    name = "django_integration"
    label = "uwsgi_deploy"
    verbose_name = "uwsgi-deploy"

    def ready(self) -> None:
        checks.register()
