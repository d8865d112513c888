"""Tests of `uwsgi_deploy.net`."""
