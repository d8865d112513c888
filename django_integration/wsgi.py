"""The WSGI application of projects whose settings name none, as runserver makes it then."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
