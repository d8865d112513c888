"""Whether the certificates that a configuration names can be used, found out before a server is started with them.

By the command line, which knows where each option was written, and ends or becomes the server afterwards: the library
for TLS is not left in anybody's memory. Loaded by those who configure TLS only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.image import PLAN
from uwsgi_deploy.net.certificates import denied, read_wanted, wanted_by
from uwsgi_deploy.net.tls_contexts import context_of


def check_certificates(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raises ConfigError with the option's place for a certificate that cannot be used.

    For a reload that is tried: the server may have become a user who cannot read what it has in memory.
    """
    is_reload = PLAN in os.environ
    option = "sni-dir"
    try:
        for wanted in wanted_by(settings, os.path.abspath(settings.application.chdir)):
            option = wanted.option
            try:
                context_of(read_wanted(wanted, is_jailed=is_reload and bool(settings.identity.chroot)))
            except PermissionError as error:
                if not is_reload:
                    raise denied(option, error) from None
            except ValueError as error:
                raise ConfigError(option, f"'{option}': {error}") from None
    except PermissionError as error:
        if not is_reload:
            raise ConfigError(origins.get(option, option), denied(option, error).message) from None
    except ConfigError as error:
        raise ConfigError(origins.get(error.origin, error.origin), error.message, hint=error.hint) from None
