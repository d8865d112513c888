"""What the Flask extension costs per request and per statement: `python benchmarks/flask_extension_cost.py`.

In this process, without a server. The same application is called with and without it, in turns, and the best of several
rounds counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from flask import Flask
from sqlalchemy import create_engine, text
from werkzeug.test import create_environ

from flask_integration import HarakiriMiddleware, Uwsgi

ROUNDS, REQUESTS = 15, 2000


def flask_application(*, extension: bool) -> Callable[..., Iterable[bytes]]:
    app = Flask("hello")
    app.get("/hello/<name>")(lambda name: name)
    if extension:
        Uwsgi(app)
    return app


def wsgi_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


def seconds_per_request(application: Callable[..., Iterable[bytes]]) -> float:
    environ = create_environ("/hello/world")
    environ["uwsgi.version"] = b"2.0.31"
    began = perf_counter()
    for _ in range(REQUESTS):
        application(dict(environ), lambda status, headers, reason=None: None)
    return (perf_counter() - began) / REQUESTS


def compare(what: str, bare: Callable[..., Iterable[bytes]], wrapped: Callable[..., Iterable[bytes]]) -> None:
    """In turns, the best of both."""
    pairs = [(seconds_per_request(bare), seconds_per_request(wrapped)) for _ in range(ROUNDS)]
    show(what, (min(pair[0] for pair in pairs) * 1e6, min(pair[1] for pair in pairs) * 1e6))


def show(what: str, figures: tuple[float, float]) -> None:
    without, with_it = figures
    print(f"{what:<22} without {without:7.2f} us   with {with_it:7.2f} us   costs {with_it - without:5.2f} us")


def statements() -> float:
    with create_engine("sqlite://").connect() as connection:
        statement = text("SELECT 1")
        connection.execute(statement)
        began = perf_counter()
        for _ in range(REQUESTS):
            connection.execute(statement)
        return (perf_counter() - began) / REQUESTS


def main() -> None:
    compare("WSGI, middleware", wsgi_application, HarakiriMiddleware(wsgi_application))
    without = min(statements() for _ in range(ROUNDS)) * 1e6
    compare("Flask, extension", flask_application(extension=False), flask_application(extension=True))
    show("SQLAlchemy, statement", (without, min(statements() for _ in range(ROUNDS)) * 1e6))


if __name__ == "__main__":
    main()
