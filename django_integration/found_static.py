"""The project's application with its static files in front of it, found where they are written, as runserver does.

For DEBUG only: every request for a file asks the finders.
"""

from __future__ import annotations

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import get_internal_wsgi_application

application = StaticFilesHandler(get_internal_wsgi_application())
