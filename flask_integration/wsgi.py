"""The application that the server loads for `flask uwsgi run`: found again as `flask run` finds it.

One way for every form of --app (module, file, name, factory with arguments, wsgi.py and app.py of the directory), with
the debug flag set as Flask's own command line sets it: off, unless FLASK_DEBUG says otherwise.
"""

from __future__ import annotations

import os

from flask.cli import ScriptInfo

application = ScriptInfo(app_import_path=os.environ.get("FLASK_APP") or None).load_app()
