"""A Flask application that waits in every way that web applications wait, for servers with green threads.

`/busiest` tells how many requests were inside at the same time; DATABASE_URL names a PostgreSQL database.
"""

from __future__ import annotations

import contextvars
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import sqlalchemy
import urllib3
from flask import Flask, Response, g, request

app = Flask(__name__)
LOCAL = threading.local()
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
SESSION, POOL = requests.Session(), urllib3.PoolManager(maxsize=50)
LISTENERS: set[queue.SimpleQueue[str]] = set()
NEWS = threading.Condition()
HEADLINES: list[str] = []

if "DATABASE_URL" in os.environ:
    URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
    ENGINE = sqlalchemy.create_engine(URL, pool_size=5, max_overflow=5, pool_timeout=20)


@app.get("/sleep/<float:seconds>")
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.get("/fetch/<library>")
def fetch(library: str) -> str:
    url = request.args["url"]
    if library == "requests":
        return SESSION.get(url, timeout=20).text
    return POOL.request("GET", url, timeout=20).data.decode()


@app.get("/query/<float:seconds>")
def query(seconds: float) -> str:
    """The database's process that answered, twice: before and after the others had their turn."""
    with ENGINE.connect() as connection:
        statement = sqlalchemy.text("SELECT pg_backend_pid(), pg_sleep(:seconds)")
        first = connection.execute(statement, {"seconds": seconds}).scalar()
        second = connection.execute(statement, {"seconds": 0}).scalar()
    return f"{first} {second}"


@app.get("/resolve/<name>")
def resolve(name: str) -> str:
    return str(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)[0][4])


@app.get("/run/<float:seconds>")
def run(seconds: float) -> str:
    script = f"import time; time.sleep({seconds}); print('ran')"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


@app.get("/isolated/<mine>")
def isolated(mine: str) -> dict[str, Any]:
    """What is seen before and after another request had its turn."""
    before = VARIABLE.get()
    LOCAL.value, g.value = mine, mine
    VARIABLE.set(mine)
    time.sleep(0.05)
    return {
        "before": before,
        "variable": VARIABLE.get(),
        "local": LOCAL.value,
        "g": g.value,
        "path": request.path,
        "thread": threading.current_thread().name,
    }


@app.get("/futures/<float:seconds>")
def futures(seconds: float) -> str:
    with ThreadPoolExecutor(4) as pool:
        return str(sum(pool.map(lambda number: (time.sleep(seconds), number)[1], range(4))))


@app.get("/events")
def events() -> Response:
    mine: queue.SimpleQueue[str] = queue.SimpleQueue()
    LISTENERS.add(mine)

    def stream() -> Iterator[str]:
        try:
            yield ": welcome\n\n"
            while True:
                yield f"data: {mine.get()}\n\n"
        finally:
            LISTENERS.discard(mine)

    return Response(stream(), mimetype="text/event-stream")


@app.post("/events")
def publish() -> str:
    for listener in LISTENERS.copy():
        listener.put(request.get_data(as_text=True))
    return str(len(LISTENERS))


@app.get("/news/<int:seen>")
def news(seen: int) -> str:
    """Long polling: an answer when there is one."""
    with NEWS:
        NEWS.wait_for(lambda: len(HEADLINES) > seen, timeout=20)
        return " ".join(HEADLINES[seen:])


@app.post("/news")
def report() -> str:
    with NEWS:
        HEADLINES.append(request.get_data(as_text=True))
        NEWS.notify_all()
    return "told"


def slow_resolver() -> Flask:
    """The application on a machine whose name servers take a second, whatever thread asks them."""
    import _socket

    from gevent import monkey

    original, wait = _socket.getaddrinfo, monkey.get_original("time", "sleep")

    def getaddrinfo(*arguments: Any, **options: Any) -> Any:
        if arguments[0] == "slow.test":
            wait(1.0)
            arguments = ("127.0.0.1", *arguments[1:])
        return original(*arguments, **options)

    _socket.getaddrinfo = getaddrinfo
    return app
