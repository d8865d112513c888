"""Settings of the project."""

import json
import os

SECRET_KEY = "tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "green_django.urls"
INSTALLED_APPS = ["green_django"]
DATABASES = {"default": json.loads(os.environ["GREEN_DATABASE"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
