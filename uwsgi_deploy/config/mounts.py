"""What a `mount` says: `/path=package.module:callable`, `/path=app.py`, or an application alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """An application's mount point ("" is the default application's) and what is mounted there."""

    point: str
    application: str

    @property
    def is_file(self) -> bool:
        """Whether it is run from a file, as `wsgi-file`, and not imported, as `module`."""
        return self.application.endswith((".py", ".wsgi"))


def mounts_of(values: Iterable[str]) -> Iterator[Mount]:
    """The mounts that these values name. Raises ValueError with a sentence."""
    seen: set[str] = set()
    for value in values:
        mount = _mount(value)
        if mount.point.removesuffix("/") in seen:
            raise ValueError(f"has two applications for '{mount.point}'")
        seen.add(mount.point.removesuffix("/"))
        yield mount


def _mount(value: str) -> Mount:
    point, equals, application = (part.strip() for part in value.partition("="))
    if not equals or "(" in point:  # an equals sign within a factory's arguments
        point, application = "", value.strip()
    if "|" in point:
        raise ValueError(f"has '{value}': mounting by host name (vhost) is not supported, let the web server choose")
    if point and not point.startswith("/"):
        raise ValueError(f"needs /path=application, not '{value}'")
    if not application:
        raise ValueError(f"needs an application: {point}=package.module:callable or {point}=app.py")
    return Mount("" if point == "/" else point, application)
