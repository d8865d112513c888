# Three commands for a machine with python3 (3.11 or newer, with venv) and make:
#
#   make demo        a virtual environment, the package, the blog example with data, served on http://127.0.0.1:8000/
#   make demo-slow   the same with pages that take too long, and the reports about them
#   make test        a virtual environment, the development tools, every check and every test
#
# Each is quick the second time: what is installed is remembered in a stamp file that depends on pyproject.toml.

SHELL := /bin/sh
VENV ?= .venv
ADDRESS ?= 127.0.0.1:8000
# Files side by side, more than there are processors: most tests wait for processes most of the time.
PYTEST_ARGS ?= --numprocesses 5 --dist loadfile
# The first Python that is new enough; the newest names last, since `python3` is what a machine means by Python.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)
BIN := $(abspath $(VENV))/bin
PACKAGES := uwsgi_deploy django_integration flask_integration
BLOG := example_projects/django_blog
SLOW := example_projects/slow_reports

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start thousands of servers: where this is set (container images), each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-slow test lint check-format types layers pytest format docs dist clean system-packages
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "uwsgi-deploy needs Python 3.11 or newer; none was found (name one: make PYTHON=/path/to/python3)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[django]'
	@touch $@

# editable_mode=compat: a path instead of a finder, which each Python would load at its start; that is a third of a server's.
$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --config-settings editable_mode=compat --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed-demo
	@cd $(BLOG) && $(BIN)/python manage.py migrate --no-input --verbosity 0 && $(BIN)/python manage.py createdemo
	@echo
	@echo "  The blog:   http://$(ADDRESS)/"
	@echo "  Its admin:  http://$(ADDRESS)/admin/   user: demo   password: demo"
	@echo "  Stop it with Ctrl-C."
	@echo
	@cd $(BLOG) && exec $(BIN)/python manage.py runuwsgi $(ADDRESS)

demo-slow: $(VENV)/.installed-demo
	@cd $(SLOW) && $(BIN)/python manage.py migrate --no-input --verbosity 0 && $(BIN)/python manage.py createdemo
	@echo
	@echo "  Pages that hang:  http://$(ADDRESS)/"
	@echo "  Their reports:    http://$(ADDRESS)/admin/uwsgi_deploy/harakirireport/   user: demo   password: demo"
	@echo "  Stop it with Ctrl-C."
	@echo
	@cd $(SLOW) && exec $(BIN)/python manage.py runuwsgi $(ADDRESS)

test: $(VENV)/.installed-dev system-packages lint check-format types layers pytest

system-packages:
	@.ci/system-packages nginx postgres:postgresql openssl curl chromium

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

check-format: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy --strict $(addprefix -p ,$(PACKAGES))

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/generate_options.py

dist: $(VENV)/.installed-dev
	$(BIN)/python -m build

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
