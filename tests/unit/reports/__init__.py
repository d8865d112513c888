"""Tests of `uwsgi_deploy.reports`."""
