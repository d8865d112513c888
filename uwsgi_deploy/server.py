"""`python -m uwsgi_deploy.server`: the server's own process, with nothing in memory but the server (see `image`).

Started by the command line, by a master that re-executes itself, or by a master's child that only tries whether the
next image can be started (`PLAN`).
"""

from __future__ import annotations

import os
import sys

import uwsgi_deploy.often_used  # isort: skip  # noqa: F401  before everything else, see there
from uwsgi_deploy.postponed import postponed

with postponed("inspect"), postponed("ast"):  # `dataclasses` and the loader import them; see there for the cost
    from uwsgi_deploy.errors import ServerError, lines_of
    from uwsgi_deploy.image import MANIFEST, PLAN, image_of_this_process
    from uwsgi_deploy.master.boot import check_start, run_server
    from uwsgi_deploy.master.manifest import take_manifest
    from uwsgi_deploy.process.fork import flush_stdio
    from uwsgi_deploy.worker.gathering import gather
    from uwsgi_deploy.worker.often_run import places


# Only to be kept, see `gather`.
_ORIGINALS: list[object] = []


def main() -> int:
    """Serve with the settings that the command line left; the exit code."""
    image = image_of_this_process(os.environ)
    try:
        if PLAN in os.environ:
            plan = int(os.environ.pop(PLAN))
            check_start(image.settings)
            with open(plan, "wb") as file:
                file.write(image.encode())
            return 0
        if image.settings.workers.master:
            _ORIGINALS.extend(gather(places()))
        manifest = take_manifest(int(os.environ.pop(MANIFEST))) if MANIFEST in os.environ else None
        code = run_server(image.settings, notices=image.notices, is_last=True, image=image, manifest=manifest)
    except ServerError as error:
        print("\n".join(lines_of(error)), file=sys.stderr)
        return error.exit_code
    if image.settings.system.skip_atexit:  # without a master this process has run the application
        flush_stdio()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
