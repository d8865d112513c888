"""Tests of `uwsgi_deploy.wsgi`."""
