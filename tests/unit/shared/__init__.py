"""Tests of `uwsgi_deploy.shared`."""
