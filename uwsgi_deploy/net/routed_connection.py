"""A worker's connection from the http router of its own server: it begins with the worker's name for itself."""

from __future__ import annotations

import os
from typing import Any

from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.routed import GREETING


class RoutedConnection(Connection):
    """See `protocol.routed`. The router sends its request without waiting for the greeting.

    A worker that is about to close it says so once in the answer (`Connection: close`). An application that says so
    means the client's connection: then it is there twice.
    """

    __slots__ = ()
    is_routed = True

    def __init__(self, fd: int, *arguments: Any, **options: Any) -> None:
        super().__init__(fd, *arguments, **options)
        try:
            os.write(fd, GREETING.pack(os.getpid()))
        except OSError:
            return  # the router has left: reading finds that out, too
