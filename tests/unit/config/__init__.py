"""Tests of `uwsgi_deploy.config`."""
