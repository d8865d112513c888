"""Tests of `uwsgi_deploy.logs`."""
