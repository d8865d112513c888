"""Settings of a site whose pages take too long, each in another way. For this machine only: DEBUG is on."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = True
SECRET_KEY = "for-development-only"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

# Limits so short that looking at them is no waiting: a real site leaves them at 60 seconds.
UWSGI = {
    "processes": 3,
    "soft-harakiri": 1.5,  # a report of what the request is doing; it goes on
    "harakiri": 3,  # its end: HarakiriTimeout is raised in the view, the client gets 504
    "harakiri-graceful-timeout": 2,  # a view that cannot be reached so long is answered for, and its worker replaced
    "harakiri-routes": ["export=8", "^/exempt/=off", "^/admin/=off"],  # by URL name, and by path
}

INSTALLED_APPS = [
    "waits",
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
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3", "OPTIONS": {"timeout": 20}},
    # The one that /sqlite-lock/ finds locked.
    "archive": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "archive.sqlite3",
        "OPTIONS": {"timeout": 60},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"

# Every report is a record of the logger `uwsgi.harakiri`: here it becomes a mail to ADMINS, which is written to a file.
ADMINS = [("Site owner", "owner@example.com")]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = BASE_DIR / "mail"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"mail": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR"}},
    "loggers": {"uwsgi.harakiri": {"handlers": ["mail"], "level": "WARNING"}},
}
