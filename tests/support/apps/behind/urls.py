"""The blog's pages and those of this test."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from behind import work


@csrf_exempt
def digest(request: HttpRequest) -> HttpResponse:
    return HttpResponse(work.digest(request), content_type="text/plain")


def stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(work.stream(name), content_type="text/plain")


def download(request: HttpRequest, name: str, blocks: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(work.download(name, blocks), content_type="application/octet-stream")


urlpatterns = [
    path("digest", digest),
    path("stream/<name>", stream),
    path("download/<name>/<int:blocks>", download),
    path("", include("mysite.urls")),
]
