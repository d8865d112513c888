"""Several applications under paths: which one a request is for (`mount`, `manage-script-name`), and their loading.

A WSGI application around the others. Loaded only when something is mounted; a server with one application calls it
directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uwsgi_deploy.config.mounts import Mount, mounts_of
from uwsgi_deploy.config.settings.application import ApplicationSettings
from uwsgi_deploy.errors import AppLoadError
from uwsgi_deploy.logs.record import APPLICATION_NUMBER
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.wsgi.loader import Application, refuse_everything

NONE = -1

LoadOne = Callable[[ApplicationSettings], Application]
# The log line for number and mount point of an application, and whether it is the default one.
Describe = Callable[[int, str, bool], str]


@dataclass(frozen=True, slots=True)
class Mounted:
    """An application, its number, and the mount point as it was written; "" is the one for everything else."""

    number: int
    point: str
    application: Application

    @property
    def path(self) -> str:
        """The mount point as the start of a path."""
        return self.point.removesuffix("/")


class Mounts:
    """The applications of a server, as one.

    manages_script_name: find the application by the path, longest first, instead of by SCRIPT_NAME alone.
    default: for requests that none of them is for. by_name: the applications by their mount points.
    """

    def __init__(self, mounted: Iterable[Mounted], *, manages_script_name: bool, default: Mounted) -> None:
        self.applications = tuple(mounted)
        self._default = default
        self.by_name = {one.point: one for one in self.applications}
        paths = [one for one in self.applications if one.path] if manages_script_name else []
        self._longest_first = tuple((one.path, one) for one in sorted(paths, key=lambda one: -len(one.path)))

    def has(self, environ: Environ) -> bool:
        """Whether a request is for one of them, and not for the default one for want of any other."""
        path = environ["PATH_INFO"]
        return environ["SCRIPT_NAME"] in self.by_name or any(
            path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/")
            for start, _ in self._longest_first
        )

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Any:
        """Serve a request by the application that it is for."""
        path = environ["PATH_INFO"]
        for start, one in self._longest_first:
            # At a boundary only: /app is not the start of /apple.
            if path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/"):
                environ["SCRIPT_NAME"] = _behind(environ["SCRIPT_NAME"], one.point)
                environ["PATH_INFO"] = path[len(start) :]
                break
        else:
            one = self.by_name.get(environ["SCRIPT_NAME"], self._default)
        environ[APPLICATION_NUMBER] = one.number
        return one.application(environ, start_response)


def _behind(given: str, point: str) -> str:
    """SCRIPT_NAME of a mount point that was found in the path. What a proxy in front has cut from the path stays before
    it; what it has only announced, as nginx's `uwsgi_param SCRIPT_NAME /app` does, is the mount point itself."""
    given = given.removesuffix("/")
    is_announced = point == given or point.startswith(f"{given}/")
    return point if is_announced else given + point


def load_mounts(settings: ApplicationSettings, load_one: LoadOne, describe: Describe) -> Mounts:
    """Load every application that the settings name: `module` or `wsgi-file` first, as '', then the mounts in order.

    Raises AppLoadError with need-app when one of them cannot be loaded; without, that one answers 500.
    load_one: loads what `module` or `wsgi-file` names.
    """
    alone = replace(settings, mount=())
    wanted = [("", alone)] if settings.module or settings.wsgi_file else []
    wanted += [(mount.point, _settings_of(mount, alone)) for mount in mounts_of(settings.mount)]
    has_main = any(not point for point, _ in wanted)
    mounted: list[Mounted] = []
    for point, one in wanted:
        if point:
            log(f"mounting {one.module or one.wsgi_file} on {point}")
        number = len(mounted)
        try:
            mounted.append(Mounted(number, point, load_one(one)))
        except AppLoadError as error:
            if settings.need_app:
                raise
            log("\n".join(text for text in (error.details, str(error)) if text))
            mounted.append(Mounted(number, point, refuse_everything))
        else:
            is_default = not point or not (has_main or number or settings.no_default_app)
            log(describe(number, point, is_default))
    return Mounts(
        mounted, manages_script_name=settings.manage_script_name, default=_default(mounted, settings.no_default_app)
    )


def _settings_of(mount: Mount, settings: ApplicationSettings) -> ApplicationSettings:
    if mount.is_file:
        return replace(settings, module="", wsgi_file=mount.application)
    return replace(settings, module=mount.application, wsgi_file="")


def _default(mounted: Sequence[Mounted], is_unwanted: bool) -> Mounted:
    """uWSGI's choice: the application at '', or else the first mounted one, which people rely on."""
    if is_unwanted or not mounted:
        return Mounted(NONE, "", refuse_everything)
    return next((one for one in mounted if not one.point), mounted[0])
