"""An address and an application for the Django that is configured in the tests' own process."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

urlpatterns: list[object] = []
application = get_wsgi_application
