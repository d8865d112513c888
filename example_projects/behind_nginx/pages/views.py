"""What a site shows of who is in front of it."""

import hashlib
import time

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render


def front(request):
    """The client as nginx has told it, and a form."""
    return render(
        request, "pages/front.html", {"client": request.META["REMOTE_ADDR"], "url": request.build_absolute_uri()}
    )


def upload(request):
    """Size and hash of a file: it has arrived as it was sent."""
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for block in file.chunks():
        digest.update(block)
    return HttpResponse(f"{file.name}: {file.size} bytes, SHA-256 {digest.hexdigest()}\n", content_type="text/plain")


def clock(request):
    """A line each second; this header has nginx pass each on at once instead of gathering them."""

    def lines():
        for _ in range(int(request.GET.get("times", "5"))):
            yield time.strftime("%H:%M:%S\n")
            time.sleep(float(request.GET.get("pause", "1")))

    return StreamingHttpResponse(lines(), content_type="text/plain", headers={"X-Accel-Buffering": "no"})
