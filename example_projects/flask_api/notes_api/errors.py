"""Every error is answered as JSON, in the form {"error": …, "status": …}."""

from flask import jsonify
from werkzeug.exceptions import HTTPException


def init_app(app):
    app.register_error_handler(HTTPException, as_json)


def as_json(error):
    """Keep the exception's status and headers (Allow of a 405, for one), replace its HTML body."""
    response = error.get_response()
    response.data = jsonify(error=error.description, status=error.code).data
    response.content_type = "application/json"
    return response
