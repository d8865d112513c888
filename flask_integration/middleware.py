"""Notes of a request for the report that may have to be made, and the page for one that ran out of time.

    application = HarakiriMiddleware(application)

For any WSGI application; it imports no framework. Flask applications take the extension, which puts it in place and
notes what only Flask knows. Without a `page` the server answers, in JSON for who prefers it. Under another server, or
in tests, it does nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from uwsgi_deploy import HarakiriTimeout, take_notes, timed_out

SERVER = "uwsgi.version"
"""What this server (and uWSGI) puts into the environ of every request."""

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Page: TypeAlias = "Callable[[Environ, HarakiriTimeout], Application | None]"
"""What makes the answer to a request whose time is over: a WSGI response, None for the server's."""

logger = logging.getLogger("uwsgi.harakiri")


class HarakiriMiddleware:
    """See the module. framework: its name in reports."""

    def __init__(self, app: Application, page: Page | None = None, *, framework: str = "wsgi") -> None:
        self.app, self.page, self.framework = app, page, framework

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Run the application, and the page instead if it is interrupted before its response began."""
        if SERVER not in environ:
            return self.app(environ, start_response)
        take_notes(environ, self.framework)
        try:
            return self.app(environ, start_response)
        except HarakiriTimeout as timeout:
            timed_out()  # from now on the server lets us work, for its grace time
            response = self._page(environ, timeout)
            if response is None:
                raise
            # With the exception, as PEP 3333 has it: replaces a head that is not sent yet, and raises for one that is.
            reason = sys.exc_info()
            return response(environ, lambda status, headers, _=None: start_response(status, headers, reason))

    def _page(self, environ: Environ, timeout: HarakiriTimeout) -> Application | None:
        if self.page is None:
            return None
        try:
            return self.page(environ, timeout)
        except Exception:
            logger.exception("The page for requests that take too long could not be made")
            return None
