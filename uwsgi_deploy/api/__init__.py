"""The `uwsgi` module that applications import, made in every process that holds the application."""
