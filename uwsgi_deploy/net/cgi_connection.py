"""A connection whose web server expects what a CGI program would print: the status as a field of the head.

Whoever writes the response, the application's core or the reactor that refuses a request, writes it as HTTP has it.
"""

from __future__ import annotations

from typing import Any

from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.cgi import as_cgi


class CgiConnection(Connection):
    """See the module. One request each."""

    __slots__ = ("_begun",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun = False

    def send(self, data: bytes) -> None:
        """See `Connection.send`."""
        super().send(self._translate(data))

    def send_two(self, head: bytes, body: bytes) -> None:
        """See `Connection.send_two`."""
        super().send_two(self._translate(head), body)

    def whole(self, response: bytes) -> bytes:
        """See `Connection.whole`."""
        return as_cgi(response)

    def _translate(self, data: bytes) -> bytes:
        """Only the first bytes of a response have its status line."""
        if self._begun:
            return data
        self._begun = True
        return as_cgi(data)
