"""The Flask adapter: `flask uwsgi run` serves any Flask application, without a line in it. Imports nothing."""
