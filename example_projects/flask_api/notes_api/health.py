"""Is this process able to answer? For load balancers and uptime checks."""

import os

from flask import Blueprint

from notes_api.db import get_db

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health():
    get_db().execute("SELECT 1")
    return {"status": "ok", "worker": os.getpid()}
