"""Tests of `uwsgi_deploy.worker`."""
