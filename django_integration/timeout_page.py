"""The answer to a request whose time is over: the project's `504.html`, JSON for who prefers it, else a plain page."""

from __future__ import annotations

import logging

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader

from uwsgi_deploy import HarakiriTimeout

TEMPLATE = "504.html"
PLAIN_PAGE = """\
<!doctype html>
<html lang="en">
<head><title>Gateway Timeout</title></head>
<body><h1>This took too long</h1><p>The request was ended because its time was over. Please try again later.</p></body>
</html>
"""

logger = logging.getLogger("uwsgi.harakiri")


def timeout_response(request: HttpRequest, timeout: HarakiriTimeout) -> HttpResponse:
    """Like Django's 500.html the template is rendered without context processors: they may be what hangs.

    It gets `request_id` (from the client's or proxy's X-Request-ID, else ""), `path` and `limit` (seconds, 0: unknown).
    """
    request_id = str(request.META.get("HTTP_X_REQUEST_ID", ""))
    if prefers_json(str(request.META.get("HTTP_ACCEPT", ""))):
        content: dict[str, object] = {"error": "timeout", "status": 504}
        if request_id:
            content["request_id"] = request_id
        return JsonResponse(content, status=504)
    context = {"request_id": request_id, "path": request.path, "limit": timeout.limit}
    return HttpResponse(_page(context), status=504)


def _page(context: dict[str, object]) -> str:
    try:
        template = loader.get_template(TEMPLATE)
    except TemplateDoesNotExist:
        return PLAIN_PAGE
    except Exception:
        return _plain_instead()
    try:
        return str(template.render(context))
    except Exception:  # one that it extends or includes may be missing, too
        return _plain_instead()


def _plain_instead() -> str:
    logger.exception("%s could not be rendered", TEMPLATE)
    return PLAIN_PAGE


def prefers_json(accept: str) -> bool:
    """Whether an Accept header asks for JSON more than for HTML (RFC 9110 §12.5.1)."""
    qualities: dict[str, float] = {}
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        qualities[media] = _quality(parameters)
    anything = qualities.get("*/*", 0.0)
    json = qualities.get("application/json", qualities.get("application/*", anything))
    html = qualities.get("text/html", qualities.get("text/*", anything))
    return json > html


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
