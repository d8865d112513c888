"""The words by which a command line steers a running server instead of starting one.

They are apart from the verbs themselves (`cli.verbs`), so that a command line that starts a server loads none of these.
"""

from __future__ import annotations

from collections.abc import Mapping

VERB_WORDS = (
    "status",
    "reload",
    "stop",
    "restart",
    "drain",
    "pause",
    "resume",
    "workers",
    "log",
    "inflight",
    "dump",
    "harakiri",
)
"""First words that are verbs."""

CURL = "curl"
"""The first word that asks a socket (`cli.curl`)."""

PIDFILE_OPTIONS: Mapping[str, str] = {
    "stop": "stop",
    "reload": "reload",
    "pause": "pause",
    "suspend": "pause",
    "resume": "resume",
}
"""uWSGI's options that take a pid file and start nothing, and the command (`commands.Command`) that each one is."""
