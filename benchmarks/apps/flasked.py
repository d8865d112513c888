"""The smallest Flask application."""

from __future__ import annotations

from flask import Flask

application = Flask(__name__)


@application.get("/")
def index() -> str:
    return "hello"
