"""`flask uwsgi run`: `flask run` in its words and manners, with a production server. Imported when it is asked for.

It loads the application once, to read `app.config["UWSGI"]` and to show an import error where Flask shows it; then it
replaces itself with the server process, which starts from a clean interpreter and loads the application for itself. So
the application's module is imported twice in a row, by two processes; what the first one opened ends with it.

-h and -p are host and port, as everywhere in Flask; the server's processes are --processes or --workers here.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator

import click
from flask import Flask
from flask.cli import ScriptInfo
from flask.helpers import get_debug_flag

from flask_integration import conf, discovery, static_files
from flask_integration.launch import http_socket, plan
from uwsgi_deploy import ConfigError, __version__, replace_process
from uwsgi_deploy.cli.options import ServerCommand, click_options, server_options
from uwsgi_deploy.config.controls import CONTROLS_BY_NAME
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.schema import BY_NAME, did_you_mean
from uwsgi_deploy.launch import Launch, first_name

HELP = """\
Run a production server.

The application is found as `flask run` finds it. Options of the server are below, in app.config["UWSGI"], and in
UWSGI_* or FLASK_UWSGI_RUN_* variables of the environment. --host and --port replace the http-socket of
app.config["UWSGI"]; without any address it is port 5000 on 127.0.0.1, or $PORT on all interfaces. -h and -p are Flask's
here: the number of processes is --processes or --workers.
"""

OWN_OPTIONS = ("host", "port", "debug", "reload", "offload-static")
NAMES_APPLICATION = frozenset({"module", "wsgi-file"})


def serve(host: str | None, port: int | None, debug: bool | None, reload: bool | None, offload_static: bool) -> None:
    """Look, tell, and become the server."""
    context = click.get_current_context()
    if debug is not None:
        os.environ["FLASK_DEBUG"] = "1" if debug else "0"
    try:
        address = tuple(http_socket(host, port, os.environ))
        wish = () if reload is None else (RawOption("autoreload", "true" if reload else "false", COMMAND_LINE),)
        given = (*environment_options(context), *address, *wish, *server_options(context))
        info = context.ensure_object(ScriptInfo)
        project: tuple[RawOption, ...] = ()
        files: tuple[RawOption, ...] = ()
        served = next((option.value for option in reversed(given) if first_name(option) in NAMES_APPLICATION), None)
        if served is None:
            app = load(info, forgiving=bool(reload))
            served = info.app_import_path or (app.import_name if app is not None else "of this directory")
            project = conf.options(app) if app is not None else ()
            files = offloaded(app) if app is not None and offload_static else ()
            os.environ.update(discovery.environment(info))
        elif offload_static:
            raise click.UsageError("--offload-static needs the application that --app names, not --module or a file.")
        launch = plan(project, (*files, *given), replaced=frozenset(option.name for option in address))
        if not launch.settings.system.show_nginx:
            show_banner(served, launch)
        replace_process(launch.arguments, launch.handover)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def load(info: ScriptInfo, *, forgiving: bool) -> Flask | None:
    """The application. forgiving: one that is broken is shown and is None, the server waits for its fix."""
    try:
        return info.load_app()
    except Exception as error:  # the application's own code
        if not forgiving:
            raise
        shown = error.format_message() if isinstance(error, click.ClickException) else traceback.format_exc()
        click.echo(f"{shown}\nThe server starts nevertheless and reloads when the code changes.", err=True)
        return None


def offloaded(app: Flask) -> tuple[RawOption, ...]:
    """The options for the application's static folders; those that cannot be served without it are named."""
    for url in static_files.left_to_the_application(app):
        click.echo(f" * Static files of {url} are left to the application")
    return tuple(static_files.options(app))


def environment_options(context: click.Context) -> Iterator[RawOption]:
    """Every option has a variable, as click's own have: FLASK_UWSGI_RUN_THREADS=4."""
    prefix = f"{context.auto_envvar_prefix}_"
    for variable, value in os.environ.items():
        name = variable.removeprefix(prefix).lower().replace("_", "-")
        if not variable.startswith(prefix) or name in OWN_OPTIONS:
            continue
        if name in BY_NAME or name in CONTROLS_BY_NAME:
            yield RawOption(name, value, f"environment {variable}")
        else:
            hint = did_you_mean(name)
            message = f"environment {variable}: unknown option '{name}' is ignored"
            click.echo(f"{message} ({hint})" if hint else message, err=True)


def show_banner(served: str, launch: Launch) -> None:
    """Flask's lines."""
    workers = launch.settings.workers
    cores = f"{counted(workers.processes, 'process', 'processes')} x {counted(workers.threads, 'thread', 'threads')}"
    click.echo(f" * Serving Flask app '{served}'")
    if get_debug_flag():
        click.echo(" * Debug mode: on (without debugger: `flask run --debug` has one; --reload reloads)")
    else:
        click.echo(" * Debug mode: off")
    for address in (text for name, text, _ in launch.settings.listening if name in ("http-socket", "http")):
        click.echo(f" * Running on {describe(address)} (uwsgi-deploy {__version__}, {cores})")
    click.echo("Press CTRL+C to quit")


def describe(address: str) -> str:
    """An address as a person uses it: a URL for TCP, the path for a Unix socket."""
    host, colon, port = address.rpartition(":")
    return f"http://{host or '0.0.0.0'}:{port}" if colon and port.isdigit() else address


def counted(number: int, one: str, many: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {one if number == 1 else many}"


def variables(option: str) -> list[str]:
    """The environment variables of one of the command's own options, the strongest first."""
    return [f"FLASK_UWSGI_RUN_{option}", f"FLASK_RUN_{option}"]


command = ServerCommand(
    "run",
    callback=serve,
    help=HELP,
    short_help="Run a production server.",
    params=[
        click.Option(["--host", "-h"], envvar=variables("HOST"), help="The interface to bind to."),
        click.Option(
            ["--port", "-p"], type=click.IntRange(0, 65535), envvar=variables("PORT"), help="The port to bind to."
        ),
        click.Option(["--debug/--no-debug"], default=None, help="Set debug mode; there is no debugger here."),
        click.Option(
            ["--reload/--no-reload"],
            default=None,
            envvar="FLASK_UWSGI_RUN_RELOAD",
            help="For development: reload when the code changes, and wait for the fix of code that is broken.",
        ),
        click.Option(
            ["--offload-static"],
            is_flag=True,
            envvar="FLASK_UWSGI_RUN_OFFLOAD_STATIC",
            help="Send the files of all static folders, those of blueprints included, without asking the application.",
        ),
        *click_options(without={"-h", "-p"}),
    ],
    context_settings={"max_content_width": 110},
)

commands = {"run": command}
