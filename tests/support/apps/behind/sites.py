"""`application`: Django for hosts 127.0.1.x, Flask for 127.0.2.x."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from flask import Flask, Response, request
from notes_api import create_app

from behind import work

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "behind.settings")
django_site = get_wsgi_application()
flask_site: Flask = create_app({"MAX_CONTENT_LENGTH": None})


@flask_site.post("/digest")
def digest() -> str:
    return work.digest(request.stream)


@flask_site.get("/stream/<name>")
def stream(name: str) -> Response:
    return Response(work.stream(name), mimetype="text/plain")


@flask_site.get("/download/<name>/<int:blocks>")
def download(name: str, blocks: int) -> Response:
    return Response(work.download(name, blocks), mimetype="application/octet-stream")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    site = flask_site if environ["HTTP_HOST"].startswith("127.0.2.") else django_site
    return site(environ, start_response)
