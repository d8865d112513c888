"""Tests of `uwsgi_deploy.master`."""
