"""The Flask adapter: its command line and configuration, and real servers started by `flask uwsgi run`."""
