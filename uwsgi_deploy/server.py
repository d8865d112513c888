"""`python -m uwsgi_deploy.server`: the server's own process, with nothing in memory but the server (see `image`)."""

from __future__ import annotations

import sys

from uwsgi_deploy.postponed import postponed

with postponed("inspect"), postponed("ast"):  # `dataclasses` and the loader import them; see there for the cost
    from uwsgi_deploy.errors import ServerError, lines_of
    from uwsgi_deploy.image import settings_of_this_process
    from uwsgi_deploy.master.boot import run_server


def main() -> int:
    """Serve with the settings that the command line left; the exit code."""
    settings, notices = settings_of_this_process()
    try:
        return run_server(settings, notices=notices, is_last=True)
    except ServerError as error:
        print("\n".join(lines_of(error)), file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
