"""The Django adapter: `manage.py runuwsgi` serves a project from its own settings. Imports nothing."""
