"""The command `uwsgi-deploy`: reads arguments and environment once, builds the settings, hands them to the master.

Every error of configuration or start is one line on standard error and the exit code of its class.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

import click

from uwsgi_deploy import __version__, run
from uwsgi_deploy.cli.options import ServerCommand, click_options, server_options
from uwsgi_deploy.cli.show_config import render
from uwsgi_deploy.cli.sources import sources
from uwsgi_deploy.cli.words import CURL, PIDFILE_OPTIONS, VERB_WORDS
from uwsgi_deploy.config.build import build
from uwsgi_deploy.config.checks import require_socket
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.argv import positional_option
from uwsgi_deploy.errors import ConfigError, ServerError, lines_of
from uwsgi_deploy.handover import Handover
from uwsgi_deploy.image import origin_of_this_process, replace_by_server
from uwsgi_deploy.process import signals

PROGRAM = "uwsgi-deploy"
# What talks to running servers, imported when it is wanted: most command lines start one, or ask for help.
ADDRESSES = "uwsgi_deploy.net.address"
CERTIFICATES = "uwsgi_deploy.cli.certificates"
STEERING = "uwsgi_deploy.cli.steering"
CLIENT = "uwsgi_deploy.cli.curl"
NGINX = "uwsgi_deploy.cli.show_nginx"

HELP = """\
Serve a WSGI application (Django, Flask, any other), with uWSGI's options.

\b
Examples:
  uwsgi-deploy --http-socket :8000 mysite.wsgi:application
  uwsgi-deploy --http-socket :8000 -p 4 --threads 2 app.py
  uwsgi-deploy app.ini                      options from the section [uwsgi]
  uwsgi-deploy app.ini:production           from another section
  UWSGI_HTTP_SOCKET=:8000 uwsgi-deploy ...  options from the environment
  PORT=8000 WEB_CONCURRENCY=4 uwsgi-deploy mysite.wsgi:application

A server that runs is steered by the verbs status, reload, stop, restart, workers, log, drain, pause, resume:

\b
  uwsgi-deploy status                       of the only server, or of the one that works in this directory
  uwsgi-deploy reload --wait --ini app.ini  exit code 0 when the new version serves
  uwsgi-deploy VERB --help

One request to a socket, in HTTP, uwsgi, FastCGI or SCGI, and its answer:

\b
  uwsgi-deploy curl --protocol uwsgi /run/app.sock /health

TARGETS are configuration files (FILE.ini, FILE.ini:section) or the application (FILE.py, MODULE:CALLABLE). The command
line is stronger than the environment, the environment stronger than files. Options of this list are names in files,
too: 'processes = 4'. A flag is switched off by --NAME=false. Times take ms, s, m, h; sizes k, m, g.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code. `arguments` default to the process's own."""
    signals.hold_as_first_process()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given and given[0] in VERB_WORDS:  # an application of such a name is `status.py` or `status:application`
            return int(importlib.import_module(STEERING).run_verb(PROGRAM, given))
        if given and given[0] == CURL:
            client = importlib.import_module(CLIENT).curl
            return int(client.main(args=given[1:], prog_name=f"{PROGRAM} {CURL}", standalone_mode=False) or 0)
        code: int = _command().main(args=given, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except ServerError as error:
        return _report(error)
    except (click.Abort, KeyboardInterrupt):
        return 130
    return code


def _command() -> ServerCommand:
    version = click.version_option(__version__, "--version", message="%(prog)s %(version)s")
    command = ServerCommand(
        PROGRAM,
        params=[click.Argument(["targets"], nargs=-1), *map(_pidfile_option, PIDFILE_OPTIONS), *click_options()],
        callback=_run,
        help=HELP,
        options_metavar="[OPTIONS]",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    return version(command)


def _pidfile_option(name: str) -> click.Option:
    what = PIDFILE_OPTIONS[name]
    return click.Option([f"--{name}"], metavar="FILE", help=f"Tell the server of this pid file: {what}.")


def _run(targets: tuple[str, ...], **pidfiles: str | None) -> int:
    for name, pidfile in pidfiles.items():
        if pidfile is not None:
            return int(importlib.import_module(STEERING).tell_pidfile(pidfile, PIDFILE_OPTIONS[name]))
    given = server_options(click.get_current_context())
    # As in uWSGI, positional arguments are read after all options, wherever they stand.
    positional = tuple(_target_option(target) for target in targets if not target.startswith("["))
    return _serve((*given, *positional))


def _target_option(target: str) -> RawOption:
    """As `positional_option`, but whoever mistypes or misplaces a verb is told the verb."""
    try:
        return positional_option(target)
    except ConfigError as error:
        close = difflib.get_close_matches(target, (*VERB_WORDS, CURL), n=1, cutoff=0.7)
        if not close:
            raise
        hint = f"did you mean the verb '{close[0]}'? A verb is the first word"
        raise ConfigError(error.origin, error.message, hint=hint) from None


def _serve(command_line: tuple[RawOption, ...]) -> int:
    handover = Handover.from_environment(os.environ)
    configuration = build(sources(command_line, handover))
    for warning in configuration.warnings:
        click.echo(warning, err=True)
    if configuration.show:
        click.echo(render(configuration), err=True)
    if configuration.settings.system.show_nginx:
        click.echo(importlib.import_module(NGINX).render(configuration.settings), nl=False)
        return 0
    # A log file has to tell, too, what the terminal was told above.
    settings = configuration.settings
    has_file = settings.logs.logto or settings.system.daemonize or settings.system.daemonize2
    notices = configuration.warnings if has_file else ()
    require_socket(configuration.settings)
    try:  # the server's process looks at them, too, but knows no places
        for option, address, _ in settings.listening:
            importlib.import_module(ADDRESSES).parse_address(address, option)
    except ConfigError as error:
        raise configuration.located(error) from None
    if settings.speaks_tls:
        importlib.import_module(CERTIFICATES).check_certificates(settings, configuration.origins)
    origin = origin_of_this_process(*(() if handover is None else (handover.launcher, handover.undo)))
    if any(option.name == "ini" and option.value == "-" for option in command_line):
        origin = None  # standard input cannot be read again
    replace_by_server(configuration.settings, notices, origin)
    return run(configuration.settings, notices=notices)


def _report(error: ServerError) -> int:
    return _fail("\n".join(lines_of(error)), error.exit_code)


def _fail(message: str, exit_code: int) -> int:
    click.echo(message, err=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
