"""Tests of `uwsgi_deploy.process`."""
