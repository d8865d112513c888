"""The views that hang, as a Django application."""

from django.apps import AppConfig


class WaitsConfig(AppConfig):
    name = "waits"
