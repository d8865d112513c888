"""Tests of uwsgi-deploy; the folders mirror the sources."""
