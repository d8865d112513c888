"""Settings of the guestbook. What differs between machines comes from the environment (https://12factor.net/config)."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
TLS = Path(os.environ.get("TLS_DIRECTORY", BASE_DIR / "tls"))

# How `python manage.py runuwsgi` serves this site: TLS from the first to the last byte, and no proxy.
UWSGI = {
    # The router speaks TLS with the clients, and hands complete requests to the workers.
    "https": f"{os.environ.get('HTTPS_ADDRESS', '127.0.0.1:8443')},{TLS}/certificate.pem,{TLS}/key.pem",
    # Who comes without TLS is sent to where it is spoken, and browsers remember it for an hour (later: a year).
    "http-to-https": os.environ.get("HTTP_ADDRESS", "127.0.0.1:8080"),
    "hsts": "1h",
    "processes": 2,
    "threads": 2,
    "harakiri": 30,
    "limit-post": "1m",
}

DEBUG = os.environ.get("DJANGO_DEBUG", "0") == "1"
# A key of the moment will do for a first look: sessions end with the server.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost 127.0.0.1").split()
# The server says that requests came over TLS, so Django needs no word of a proxy's for this.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "guestbook",
    "django_integration",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django_integration.middleware.HarakiriMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DJANGO_DATABASE", BASE_DIR / "db.sqlite3"),
        # Workers wait for each other's writes instead of failing at once with "database is locked".
        "OPTIONS": {"timeout": 20},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

# `collectstatic` names each file after its content; `runuwsgi --static` lets browsers keep such files for ever.
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static_root"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
