"""`flask uwsgi status | reload | stop …`: steer the server of this application; `curl`: send it a request.

Imported when it is asked for.

The counterpart of django_integration/management/commands/uwsgi.py. The server is found by the pidfile or control-socket
of app.config["UWSGI"], else by its working directory, which is this one. An application that cannot be loaded must not
keep its server from being stopped: it is told, and the directory decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from flask.cli import ScriptInfo

from flask_integration import conf
from flask_integration.launch import target, whereabouts
from uwsgi_deploy import ConfigError
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.project_curl import NAME as CURL
from uwsgi_deploy.cli.project_curl import click_curl
from uwsgi_deploy.cli.verb_commands import click_commands
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.launch import Target


def known(_values: Mapping[str, Any]) -> Place:
    """What the application's configuration says about where its server is."""
    try:
        return whereabouts(_options())
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def address_of_project() -> Target:
    """Where the application's configuration has its server listen; that of `flask uwsgi run` where it does not say."""
    try:
        return target(_options())
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _options() -> Sequence[RawOption]:
    info = click.get_current_context().ensure_object(ScriptInfo)
    try:
        return conf.options(info.load_app())
    except Exception as error:  # the application's own code
        click.echo(f'the application cannot be loaded, app.config["UWSGI"] is not known: {error}', err=True)
        return ()


commands = {**click_commands(known), CURL: click_curl(address_of_project)}
