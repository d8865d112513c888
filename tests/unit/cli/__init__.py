"""Tests of `uwsgi_deploy.cli`."""
