"""The smallest Django project: one view, the two middlewares that nobody leaves out."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="only for measuring",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
)


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


urlpatterns = [path("", index)]
application = get_wsgi_application()
