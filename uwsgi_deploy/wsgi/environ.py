"""The part of the WSGI environ that is the same for all requests of a listener (PEP 3333, "environ Variables")."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass

from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.wsgi.file_wrapper import FileWrapper

# What `uwsgi.version` says: the uWSGI whose behaviour this server follows, as bytes (as uWSGI has it).
COMPATIBLE_VERSION = b"2.0.31"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the environ says of the server around the application."""

    multithread: bool
    multiprocess: bool
    file_wrapper: bool


def base_environ(server_name: str, server_port: str, deployment: Deployment) -> Environ:
    """A dict that codecs copy for each request.

    REMOTE_ADDR, REMOTE_PORT and wsgi.input are None until the request is served: a uwsgi packet brings its own
    addresses, everything else gets those of its connection.
    """
    environ: Environ = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        "SERVER_SOFTWARE": "uwsgi-deploy",
        "DOCUMENT_ROOT": os.getcwd(),
        "REMOTE_ADDR": None,
        "REMOTE_PORT": None,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        # The input ends where the body ends, however it was framed: frameworks may read to its end.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": deployment.multithread,
        "wsgi.multiprocess": deployment.multiprocess,
        "wsgi.run_once": False,
        "uwsgi.version": COMPATIBLE_VERSION,
        "uwsgi.node": socket.gethostname().encode(),
    }
    if deployment.file_wrapper:
        environ["wsgi.file_wrapper"] = FileWrapper
    return environ
