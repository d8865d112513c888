"""The Django adapter: its command line, settings and checks, and real servers started by manage.py and django-admin."""
