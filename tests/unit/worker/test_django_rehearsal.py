"""What the template does with Django before it forks workers: its own part of a request, and nothing of the project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, logging, sys

facts = json.loads(sys.argv[1])
said = []

class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())

logging.getLogger().addHandler(Said())

from django.conf import settings

def own_middleware(get_response):
    said.append("middleware made")
    def called(request):
        said.append("middleware")
        return get_response(request)
    return called

settings.configure(
    SECRET_KEY="only for a test", ROOT_URLCONF=__name__, LOGGING_CONFIG=None, ALLOWED_HOSTS=facts["hosts"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": facts["database"], "ATOMIC_REQUESTS": True}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=facts["middleware"],
)

from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.http.request import host_validation_re
from django.urls import get_resolver, get_script_prefix, get_urlconf, path

def view(request, number=0):
    said.append("view")
    return HttpResponse("")

urlpatterns = [path("", view), path("<int:number>/", view, name="numbered")]
application = get_wsgi_application()
exec(facts["before"])
said.clear()

from uwsgi_deploy.worker.django_rehearsal import rehearse_django
from uwsgi_deploy.worker.lazy_parts import load_lazy_parts

load_lazy_parts()
calls = 0

def count(frame, event, argument):
    global calls
    code = frame.f_code
    if event == "call" and code.co_qualname == "BaseHandler._get_response":
        calls += 1

sys.setprofile(count)
rehearse_django()
sys.setprofile(None)
resolver = get_resolver()
print(json.dumps({
    "calls": calls, "said": said, "urlconf": get_urlconf(), "prefix": get_script_prefix(),
    "compiled": object.__getattribute__(host_validation_re, "__dict__")["_wrapped"].__class__.__name__,
    "reversible": "numbered" in resolver._reverse_dict[settings.LANGUAGE_CODE],
}))
"""
ALL = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "__main__.own_middleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)
RECEIVER = "request_started.connect(lambda **_: said.append('signal'), weak=False)"
MONITOR = """
from django.core.handlers.base import BaseHandler
def replaced(self, request, before=BaseHandler.get_response):
    said.append("monitor")
    return before(self, request)
BaseHandler.get_response = replaced
"""


def rehearsed(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """What a process says that has rehearsed for a project; `changes` to its settings, `before` is run first."""
    facts = {"hosts": ["*"], "middleware": ALL, "before": "", "database": str(tmp_path / "database"), **changes}
    command = [sys.executable, "-c", SCRIPT, json.dumps(facts)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr == ""
    assert not (tmp_path / "database").exists()
    said: dict[str, Any] = json.loads(result.stdout)
    assert said["said"] == []
    assert (said["urlconf"], said["prefix"]) == (None, "/")
    return said


@pytest.mark.parametrize("hosts", [["*"], ["shop.example"], [".shop.example"]])
def test_nothing_of_the_project_is_called(tmp_path: Path, hosts: list[str]) -> None:
    said = rehearsed(tmp_path, hosts=hosts)
    assert said["calls"] > 10
    assert (said["compiled"], said["reversible"]) == ("Pattern", True)


@pytest.mark.parametrize(
    "changes",
    [{"before": RECEIVER}, {"before": MONITOR}, {"middleware": [ALL[4]]}, {"hosts": []}],
    ids=["a receiver of the project's", "a monitor", "a middleware that fails", "no host"],
)
def test_what_cannot_be_rehearsed_is_left_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert rehearsed(tmp_path, **changes)["calls"] <= 1
