"""`python -m uwsgi_deploy` is the same as the console script."""

from __future__ import annotations

import sys

from uwsgi_deploy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
