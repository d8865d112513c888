"""`flask uwsgi status | reload | stop …`: steer the server of this application. Imported when it is asked for.

The counterpart of django_integration/management/commands/uwsgi.py. The server is found by the pidfile or control-socket
of app.config["UWSGI"], else by its working directory, which is this one. An application that cannot be loaded must not
keep its server from being stopped: it is told, and the directory decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from flask.cli import ScriptInfo

from flask_integration import conf
from flask_integration.launch import whereabouts
from uwsgi_deploy import ConfigError
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.verb_commands import click_commands


def known(_values: Mapping[str, Any]) -> Place:
    """What the application's configuration says about where its server is."""
    info = click.get_current_context().ensure_object(ScriptInfo)
    try:
        options = conf.options(info.load_app())
    except Exception as error:  # the application's own code
        click.echo(f'the application cannot be loaded, app.config["UWSGI"] is not known: {error}', err=True)
        options = ()
    try:
        return whereabouts(options)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


commands = click_commands(known)
