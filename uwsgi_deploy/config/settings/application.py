"""Which application is served, and the surroundings it is loaded in."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class ApplicationSettings:
    """The application and its Python environment."""

    module: str = option("", "wsgi", "-w", help="Application to import: pkg.mod, pkg.mod:name or pkg.mod:factory().")
    wsgi_file: str = option("", "file", help="Application to run from a Python file.")
    callable: str = option("application", help="Name of the application in its module or file, where none is given.")
    mount: tuple[str, ...] = option(
        (),
        "worker-mount",
        help="Serve another application under a path: /path=pkg.mod:name, or /path=app.py. Repeatable.",
    )
    manage_script_name: bool = option(
        False, help="Choose the mounted application by the path, and cut its mount point into SCRIPT_NAME."
    )
    no_default_app: bool = option(
        False, help="Answer 500 where no application is mounted, instead of the default one or else the first."
    )
    need_app: bool = option(
        True, optional_value="true", help="Exit with 22 when no application can be loaded; off: answer 500."
    )
    chdir: str = option("", help="Change to this directory before sockets are bound and the application is loaded.")
    chdir2: str = option("", help="Change to this directory in each worker after the application is loaded.")
    pythonpath: tuple[str, ...] = option(
        (), "python-path", "pp", help="Put this directory (globs allowed) at the front of sys.path. Repeatable."
    )
    home: str = option("", "virtualenv", "venv", "pyhome", "-H", help="Virtual environment to take packages from.")
    env: tuple[str, ...] = option((), help="Set an environment variable, NAME=value, for the application. Repeatable.")
    unenv: tuple[str, ...] = option(
        (), help="Remove an environment variable that the server was started with, before env adds. Repeatable."
    )
    envdir: tuple[str, ...] = option(
        (), help="Set a variable for each file in this directory, name and first line, as daemontools do. Repeatable."
    )
    lazy_apps: bool = option(False, help="Load the application in every worker instead of once before forking.")
    single_interpreter: bool = option(
        True, "-i", always=True, help="There is one Python interpreter per process, always."
    )
    enable_threads: bool = option(True, "-T", always=True, help="Threads of the application run, always.")
