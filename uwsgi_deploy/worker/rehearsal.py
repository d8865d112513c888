"""Run the server's own request path a few times in the template, before workers are forked from it.

CPython rewrites a function's code in place once it has run often, and fills caches as it goes. Done in each worker that
would copy the same pages into every one of them; done before the fork, they share the result. The application has no
part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uwsgi_deploy.config.settings import LogSettings, Settings
from uwsgi_deploy.native import socket_pair
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker.prepared import prepare
from uwsgi_deploy.worker.worker import Worker, WorkerContext
from uwsgi_deploy.wsgi.environ import Deployment, base_environ
from uwsgi_deploy.wsgi.lifecycle import Application

# CPython 3.11 specialises code after eight runs, and each instruction after some more: requests of each worker, and
# workers for each kind of application.
_ROUNDS = 10
_WORKERS = 6
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
_BODY = b"ok"


def rehearse() -> None:
    """Serve some requests of our own to an application of our own, over a socket pair. Logs nothing, leaves nothing."""
    settings = Settings(logs=LogSettings(log_requests=False))
    scoreboard = Scoreboard(1)
    context = WorkerContext(settings, (), 1, scoreboard, None, prepare(settings, ()))
    http = settings.http
    codec = Http1Codec(
        base_environ("localhost", "80", Deployment(multithread=False, multiprocess=False, file_wrapper=False)),
        max_head=http.buffer_size,
        max_line=http.max_request_line,
        max_fields=http.max_request_headers,
    )
    client, server = socket_pair()
    with client, server:
        server.setblocking(False)
        for wrap in (list, iter) * _WORKERS:  # what small WSGI applications return, and what frameworks do
            scoreboard.occupy(1, 0, generation=0, started=0)
            worker = Worker(context, _application(wrap))
            worker.rehearse(server.dup().detach(), codec, _ROUNDS, lambda: client.send(_REQUEST))
            client.recv(1 << 20)
    scoreboard.close()


def _application(wrap: Callable[[list[bytes]], Iterable[bytes]]) -> Application:
    def application(_environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(_BODY)))])
        return wrap([_BODY])

    return application
