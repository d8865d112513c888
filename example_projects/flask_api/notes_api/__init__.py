"""A small JSON API for notes: an application factory, two blueprints, SQLite through the standard library."""

from flask import Flask

from notes_api import db, errors, health, notes


def create_app(config=None):
    """Make the application; `config` overrides the defaults (tests), FLASK_* variables override both."""
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(
        DATABASE=f"{app.instance_path}/notes.sqlite3",
        MAX_CONTENT_LENGTH=1024 * 1024,
        # How `flask uwsgi run` serves it; the number of workers is left to --processes, or to WEB_CONCURRENCY.
        UWSGI={"threads": 4, "max-requests": 10_000, "procname-prefix-spaced": "notes"},
    )
    app.config.from_mapping(config or {})
    app.config.from_prefixed_env()

    db.init_app(app)
    errors.init_app(app)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(notes.blueprint, url_prefix="/notes")
    return app
