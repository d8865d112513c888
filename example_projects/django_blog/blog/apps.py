"""The blog as a Django application."""

from django.apps import AppConfig


class BlogConfig(AppConfig):
    name = "blog"
