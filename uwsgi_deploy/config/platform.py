"""What a platform says by convention: Heroku's `PORT`, `WEB_CONCURRENCY` and `DYNO`, Procfile runners, systemd sockets.

Pure: environment in, options out. They rank above the built-in defaults and below everything that somebody wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from uwsgi_deploy.config.raw import RawOption

# Where clients can be met. Any of them takes the place of an address that nobody asked for.
SOCKET_OPTIONS = frozenset(
    {
        *("http-socket", "https-socket", "socket", "uwsgi-socket", "suwsgi-socket", "puwsgi-socket", "scgi-socket"),
        *(
            "scgi-nph-socket",
            "fastcgi-socket",
            "fastcgi-nph-socket",
            "http",
            "https",
            "https2",
            "fastrouter",
            "rawrouter",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Convention:
    """A default that suits a platform, recognised by an environment variable."""

    variable: str
    option: str
    value: str


CONVENTIONS: tuple[Convention, ...] = (
    # Heroku's router keeps idle connections for 90 s; closing first would answer a request with H18.
    Convention("DYNO", "http-keepalive-timeout", "100"),
    # Heroku kills 30 s after SIGTERM (R12), honcho after 5: be done before.
    Convention("DYNO", "worker-reload-mercy", "25"),
    # Heroku's router gives up after 30 s (H12): answer, and report, before.
    Convention("DYNO", "harakiri", "25"),
    Convention("HONCHO_PROCESS_NAME", "worker-reload-mercy", "4"),
)


@dataclass(frozen=True, slots=True)
class ActivatedSocket:
    """A socket that a service manager opened before it started us. `name` is its FileDescriptorName, or ""."""

    fd: int
    name: str


FIRST_ACTIVATED = 3


def activated_sockets(environ: Mapping[str, str], pid: int) -> tuple[ActivatedSocket, ...]:
    """The sockets that LISTEN_FDS speaks of, if it speaks to process `pid` (sd_listen_fds(3))."""
    count = environ.get("LISTEN_FDS", "").strip()
    if not count.isdigit() or environ.get("LISTEN_PID", "").strip() != str(pid):
        return ()
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (int(count) - len(names))
    return tuple(ActivatedSocket(FIRST_ACTIVATED + index, names[index]) for index in range(int(count)))


@dataclass(frozen=True, slots=True)
class Platform:
    """The options of the platform, and what it should be told."""

    options: tuple[RawOption, ...]
    warnings: tuple[str, ...]


def platform_options(
    environ: Mapping[str, str], configured: Mapping[str, Collection[str]], *, pid: int = 0
) -> Platform:
    """Options for what `configured` (name to values, all that somebody wrote) leaves open. `pid` is this process."""
    warnings: list[str] = []
    activated = list(_activated(environ, configured, pid))
    options = [
        *(activated or _port(environ, configured, warnings)),
        *_concurrency(environ, configured, warnings),
        *_conventions(environ, configured),
        *_proxies(environ, configured),
    ]
    return Platform(tuple(options), tuple(warnings))


def _activated(environ: Mapping[str, str], configured: Mapping[str, Collection[str]], pid: int) -> Iterator[RawOption]:
    """Without any address of our own the manager's sockets are served: uwsgi where their name begins so, else HTTP."""
    if not SOCKET_OPTIONS.isdisjoint(configured):
        return
    for entry in activated_sockets(environ, pid):
        option = "socket" if entry.name.startswith("uwsgi") else "http-socket"
        yield RawOption(option, f"fd://{entry.fd}", "environment LISTEN_FDS")


def _port(
    environ: Mapping[str, str], configured: Mapping[str, Collection[str]], warnings: list[str]
) -> Iterator[RawOption]:
    port = environ.get("PORT", "").strip()
    if not port:
        return
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        warnings.append(f"environment PORT: '{port}' is not a port number and is ignored")
    elif SOCKET_OPTIONS.isdisjoint(configured):
        yield RawOption("http-socket", f":{port}", "environment PORT")
    elif "DYNO" in environ and not any(
        value.partition(",")[0].endswith(f":{port}") for value in _http_addresses(configured)
    ):
        warnings.append(f"environment PORT: no http-socket uses port {port}; Heroku will stop this dyno (error R10)")


def _http_addresses(configured: Mapping[str, Collection[str]]) -> Iterator[str]:
    for option in ("http-socket", "http", "https-socket", "https"):
        yield from configured.get(option, ())


def _concurrency(
    environ: Mapping[str, str], configured: Mapping[str, Collection[str]], warnings: list[str]
) -> Iterator[RawOption]:
    processes = environ.get("WEB_CONCURRENCY", "").strip()
    if not processes or "processes" in configured:
        return
    if not processes.isdigit() or int(processes) == 0:
        warnings.append(f"environment WEB_CONCURRENCY: '{processes}' is not a number of processes; 1 is used")
        processes = "1"
    yield RawOption("processes", processes, "environment WEB_CONCURRENCY")


def _proxies(environ: Mapping[str, str], configured: Mapping[str, Collection[str]]) -> Iterator[RawOption]:
    """gunicorn's variable; Heroku's buildpack sets it to `*`, because the router cannot be passed by."""
    proxies = environ.get("FORWARDED_ALLOW_IPS", "").strip()
    if proxies and "trusted-proxies" not in configured:
        yield RawOption("trusted-proxies", proxies, "environment FORWARDED_ALLOW_IPS")


def _conventions(environ: Mapping[str, str], configured: Mapping[str, Collection[str]]) -> Iterator[RawOption]:
    chosen: set[str] = set()
    for convention in CONVENTIONS:
        if convention.variable in environ and convention.option not in {*configured, *chosen}:
            chosen.add(convention.option)
            yield RawOption(convention.option, convention.value, f"environment {convention.variable}")
