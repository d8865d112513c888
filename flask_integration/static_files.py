"""Which files of an application the server can send itself: its static folder and those of its blueprints.

The counterpart of django_integration/static_files.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, Flask

from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption

if TYPE_CHECKING:
    from werkzeug.routing import Rule

_FILE = "<path:filename>"
_OWN = ".static"


def options(app: Flask) -> Iterator[RawOption]:
    """A mapping for each folder, and how long clients keep the files: SEND_FILE_MAX_AGE_DEFAULT, or not at all."""
    for rule in app.url_map.iter_rules():
        folder = _folder(app, rule)
        if folder is not None:
            prefix = rule.rule.removesuffix(_FILE)
            yield RawOption("static-map", f"{prefix}={folder}", COMMAND_LINE)
            yield RawOption("static-expires-path-info", f"^{re.escape(prefix)} {_max_age(app)}", COMMAND_LINE)


def left_to_the_application(app: Flask) -> tuple[str, ...]:
    """URLs of static folders that only the application can serve: it does so in its own way, or for some hosts only."""
    return tuple(
        rule.rule for rule in app.url_map.iter_rules() if _owner(app, rule.endpoint) and not _folder(app, rule)
    )


def _folder(app: Flask, rule: Rule) -> str | None:
    """The folder whose files a rule is for; None when the rule is not Flask's own, or does not hold everywhere."""
    owner = _owner(app, rule.endpoint)
    if owner is None or owner.static_folder is None:
        return None
    is_own = type(owner).send_static_file in (Flask.send_static_file, Blueprint.send_static_file)
    prefix = rule.rule.removesuffix(_FILE)
    holds_everywhere = prefix != rule.rule and "<" not in prefix and not rule.subdomain and not rule.host
    return owner.static_folder if is_own and holds_everywhere else None


def _owner(app: Flask, endpoint: str) -> Flask | Blueprint | None:
    if endpoint == "static":
        return app
    blueprint = app.blueprints.get(endpoint.removesuffix(_OWN)) if endpoint.endswith(_OWN) else None
    return blueprint if isinstance(blueprint, Blueprint) else None


def _max_age(app: Flask) -> int:
    """Seconds. Without the setting Flask has clients ask each time, as with 0."""
    value = app.config["SEND_FILE_MAX_AGE_DEFAULT"]
    return int(value.total_seconds() if isinstance(value, timedelta) else value or 0)
