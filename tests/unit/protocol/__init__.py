"""Tests of `uwsgi_deploy.protocol`."""
