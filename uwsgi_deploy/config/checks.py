"""What has to be true of settings as a whole, beyond each value by itself. Pure; messages name the origin."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module

from uwsgi_deploy.config.daemons import daemon_specs
from uwsgi_deploy.config.hooks import Phase, check_hooks, parse_action, steps
from uwsgi_deploy.config.routes import routes_of
from uwsgi_deploy.config.settings import FastrouterSettings, GatewaySettings, RawrouterSettings, Settings
from uwsgi_deploy.config.settings.control import OFF
from uwsgi_deploy.config.settings.reports import SINKS, names_in, sinks_of
from uwsgi_deploy.config.static import expiries_of, mapping_of, regexp_of, serves_files
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.types import Protocol

BUILT_IN = "default"
# They are chosen by the bytes 0 to 9.
MOST_FIFOS = 10
NO_SOCKET = frozenset({OFF, "false", "no", "none", "0"})
# Linux's, real-time signals included.
MOST_SIGNALS = 64


def check(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> Settings:
    """The settings, with what follows from them; raises ConfigError for what cannot be."""
    addresses = [*(text for _, text, _ in settings.listening), *(text for _, _, text in settings.router_addresses)]
    if settings.sockets.shared_socket or any(text.lstrip().startswith("=") for text in addresses):
        settings = import_module(_SHARED).give_shared_sockets(settings, origins, warn)
    workers = settings.workers
    for name, value in (("processes", workers.processes), ("threads", workers.threads)):
        if value < 1:
            raise ConfigError(origins.get(name, BUILT_IN), f"'{name}' must be at least 1, not {value}")
    _check_gevent(settings, origins, warn)
    _check_recycling(settings, origins)
    _check_cheaper(settings, origins, warn)
    for variable in settings.application.env:
        if not variable.partition("=")[0].strip() or "=" not in variable:
            raise ConfigError(origins["env"], f"'env' needs NAME=value, not '{variable}'")
    if len(settings.control.master_fifo) > MOST_FIFOS:
        raise ConfigError(origins.get("master-fifo", BUILT_IN), f"'master-fifo' has {MOST_FIFOS} slots, no more")
    if settings.control.control_socket.lower() in NO_SOCKET:
        settings = replace(settings, control=replace(settings.control, control_socket=OFF))
    _check_mounts(settings, origins, warn)
    _check_log_files(settings, origins, warn)
    if settings.reload.lazy:
        settings = replace(settings, application=replace(settings.application, lazy_apps=True))
    _check_harakiri(settings, origins)
    settings = _check_reports(settings, origins, warn)
    _warn_of_shown_exceptions(settings, origins, warn)
    _check_proxies(settings, origins, warn)
    settings = _check_packets(settings, origins, warn)
    _check_system(settings, origins, warn)
    _check_tls(settings, origins, warn)
    if settings.gateway != GatewaySettings():
        import_module(_GATEWAYS).check_gateways(settings, origins, warn)
    if settings.routers or (settings.fastrouter, settings.rawrouter) != (FastrouterSettings(), RawrouterSettings()):
        import_module(_ROUTERS).check_routers(settings, origins, warn)
    needs_master = bool(settings.routers) and not settings.gateway.force_gateway
    if not (workers.master or needs_master) and workers.processes == 1:
        _refuse_what_needs_a_master(settings, origins)
    _check_hooks(settings, origins, warn)
    _check_touched(settings, origins)
    _check_daemons(settings, origins)
    _check_static(settings, origins, warn)
    _check_routes(settings, warn)
    if workers.processes > 1 and not workers.master:
        warn(f"{origins['master']}: several processes need a master; it is switched on")
        return replace(settings, workers=replace(workers, master=True))
    if needs_master and not workers.master:
        warn(f"{origins['master']}: '{settings.routers[0].kind}' needs a master; it is switched on")
        return replace(settings, workers=replace(workers, master=True))
    if not workers.master and any(steps(settings.hooks, Phase.MASTER_START)):
        warn(f"{origins.get('hook-master-start', BUILT_IN)}: without a master hook-master-start never runs")
    return settings


# Loaded by those who share sockets only.
_SHARED = "uwsgi_deploy.config.shared_sockets"


def _warn_of_shown_exceptions(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    origin = origins.get("catch-exceptions")
    if settings.harakiri.catch_exceptions and origin:  # without an origin it was said before
        warn(f"{origin}: 'catch-exceptions' lets every client read tracebacks: not for production")


def _check_gevent(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """A core is a thread or a greenlet, never both."""
    if settings.gevent.gevent and settings.workers.threads > 1:
        raise ConfigError(
            origins.get("threads", BUILT_IN),
            f"'threads' ({settings.workers.threads}) and 'gevent' ({settings.gevent.gevent}) contradict each other",
            hint="set one of them: with gevent each request runs in a greenlet",
        )
    if not settings.gevent.gevent:
        for name, origin in origins.items():
            if name.startswith("gevent-"):
                warn(f"{origin}: '{name}' has no effect without 'gevent'")


def _check_harakiri(settings: Settings, origins: Mapping[str, str]) -> None:
    harakiri = settings.harakiri
    number = harakiri.harakiri_graceful_signal
    if not 0 <= number <= MOST_SIGNALS:
        origin = origins.get("harakiri-graceful-signal", BUILT_IN)
        raise ConfigError(origin, f"'harakiri-graceful-signal' must be a signal's number, 1 to 64, not {number}")
    try:
        routes_of(harakiri.harakiri_routes)
    except ValueError as error:
        raise ConfigError(origins.get("harakiri-routes", BUILT_IN), f"'harakiri-routes': {error}") from None
    if harakiri.harakiri and harakiri.soft_harakiri >= harakiri.harakiri:
        raise ConfigError(
            origins.get("soft-harakiri", BUILT_IN),
            f"'soft-harakiri' ({harakiri.soft_harakiri:g} s) must be less than 'harakiri' ({harakiri.harakiri:g} s)",
        )


def _check_reports(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> Settings:
    """Sinks that exist, hooks that can be used; the directory as seen from everywhere."""
    reports = settings.reports
    names = names_in(reports.harakiri_sinks)
    unknown = [name for name in names if name not in (*SINKS, OFF)]
    if unknown:
        origin = origins.get("harakiri-sinks", BUILT_IN)
        raise ConfigError(origin, f"'harakiri-sinks' has no '{unknown[0]}'; there are {', '.join(SINKS)}, or off")
    if OFF in names and len(names) > 1:
        raise ConfigError(origins.get("harakiri-sinks", BUILT_IN), "'harakiri-sinks' is off, or names some, not both")
    for hook in reports.harakiri_hook:
        if not _HOOK.fullmatch(hook):
            origin = origins.get("harakiri-hook", BUILT_IN)
            raise ConfigError(origin, f"'harakiri-hook' needs exec:/path, http://... or https://..., not '{hook}'")
    if reports.harakiri_hook and "hook" not in sinks_of(reports):
        warn(f"{origins.get('harakiri-hook', BUILT_IN)}: 'harakiri-hook' has no effect: harakiri-sinks leaves it out")
    directory = reports.harakiri_dir
    if directory.lower() in NO_SOCKET:
        directory = OFF
    elif directory:
        directory = os.path.abspath(os.path.join(settings.application.chdir, directory))
    return replace(settings, reports=replace(reports, harakiri_dir=directory))


def _refuse_what_needs_a_master(settings: Settings, origins: Mapping[str, str]) -> None:
    """Refuse what only a master can do: nobody else looks at files or listens to people."""
    for section in (settings.watching, settings.control, settings.daemons):
        for field in dataclasses.fields(section):
            name = field.name.replace("_", "-")
            if getattr(section, field.name) not in ("", (), OFF, False, 0):
                raise ConfigError(origins.get(name, BUILT_IN), f"'{name}' needs a master", hint="set master = true")
    single: tuple[tuple[object, tuple[str, ...]], ...] = (
        (settings.recycling, ("max_worker_lifetime", "evil_reload_on_rss", "evil_reload_on_as")),
        (settings.harakiri, ("harakiri_graceful_signal", "harakiri_queue_threshold", "harakiri_verbose")),
        (settings.cheaper, ("idle", "cheap")),
        (settings.logs, ("log_maxsize",)),
        (settings.system, ("lame_duck",)),
    )
    for name in [name for section, names in single for name in names if getattr(section, name)]:
        option = name.replace("_", "-")
        raise ConfigError(origins.get(option, BUILT_IN), f"'{option}' needs a master", hint="set master = true")


def _check_touched(settings: Settings, origins: Mapping[str, str]) -> None:
    """A file and what is to be done, in one value."""
    for option, values in (("touch-exec", settings.watching.touch_exec), ("hook-touch", settings.watching.hook_touch)):
        origin = origins.get(option, BUILT_IN)
        for value in values:
            words = value.split(None, 1)
            if len(words) < 2:
                raise ConfigError(origin, f"'{option}' needs a file and what to do, not '{value}'")
            if option == "hook-touch":
                try:
                    parse_action(words[1], option)
                except ConfigError as error:
                    raise ConfigError(origin, f"'{option}': {error.message}", hint=error.hint) from None


def _check_static(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Values that can be read, and something to serve."""
    static = settings.static
    readers: tuple[tuple[str, tuple[str, ...], Callable[[str], object]], ...] = (
        ("static-map", static.static_map, mapping_of),
        ("static-map2", static.static_map2, mapping_of),
        ("static-immutable", static.static_immutable, regexp_of),
        ("static-gzip", static.static_gzip, regexp_of),
    )
    for name, values, read in readers:
        try:
            for value in values:
                read(value)
        except ValueError as error:
            raise ConfigError(origins.get(name, BUILT_IN), f"'{name}' {error}") from None
    try:
        expiries_of(static)
    except ValueError as error:
        places = dict.fromkeys(origins[name] for name in origins if name.startswith("static-expires"))
        raise ConfigError(", ".join(places) or BUILT_IN, f"'static-expires' {error}") from None
    if not serves_files(static):
        for field in dataclasses.fields(static):
            name = field.name.replace("_", "-")
            if name in origins:
                warn(f"{origins[name]}: '{name}' has no effect without static-map or check-static")


def _check_recycling(settings: Settings, origins: Mapping[str, str]) -> None:
    """As in uWSGI: a worker cannot be replaced before it may be."""
    least, most = settings.recycling.min_worker_lifetime, settings.recycling.max_worker_lifetime
    if most and least >= most:
        raise ConfigError(
            origins.get("max-worker-lifetime", BUILT_IN),
            f"'max-worker-lifetime' ({most:g} s) must be longer than 'min-worker-lifetime' ({least:g} s)",
            hint=f"set min-worker-lifetime to less than {most:g}",
        )
    if settings.recycling.memory_report > 2:
        raise ConfigError(origins.get("memory-report", BUILT_IN), "'memory-report' is 1, or 2 for USS and PSS, too")


def _check_daemons(settings: Settings, origins: Mapping[str, str]) -> None:
    try:
        for _ in daemon_specs(settings.daemons):
            pass
    except ConfigError as error:
        origin = origins.get(error.origin, BUILT_IN)
        raise ConfigError(origin, f"'{error.origin}': {error.message}", hint=error.hint) from None


_HOOK = re.compile(r"exec:/[^\0]+|https?://[^\s/]+\S*")
_NETWORK_LOG = re.compile(r"[^/]*:\d+")


def _check_log_files(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """The log is a file: uWSGI also takes host:port, which must not become the name of one in silence."""
    logs, system = settings.logs, settings.system
    for name, path in (
        ("logto", logs.logto),
        ("logto2", logs.logto2),
        ("daemonize", system.daemonize),
        ("daemonize2", system.daemonize2),
    ):
        if _NETWORK_LOG.fullmatch(path):
            raise ConfigError(
                origins.get(name, BUILT_IN), f"'{name}' needs a file, logs are not sent to addresses such as {path}"
            )
    if system.daemonize and system.daemonize2:
        raise ConfigError(origins.get("daemonize2", BUILT_IN), "'daemonize' and 'daemonize2' are one too many")
    if not (logs.logto or logs.logto2 or system.daemonize or system.daemonize2):
        for name in ("log-maxsize", "log-backupname", "log-truncate"):
            if getattr(logs, name.replace("-", "_")):
                warn(f"{origins.get(name, BUILT_IN)}: '{name}' is about a log file, and none is named (logto)")


def _check_hooks(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    try:
        check_hooks(settings.hooks)
    except ConfigError as error:
        if error.origin not in origins:
            raise
        raise ConfigError(origins[error.origin], f"'{error.origin}': {error.message}", hint=error.hint) from None
    for step in steps(settings.hooks, Phase.POST_JAIL):
        if not settings.identity.chroot:
            warn(f"{origins.get(step.option, BUILT_IN)}: without chroot '{step.option}' never runs")


# Loaded by those who set something about the http router.
_GATEWAYS = "uwsgi_deploy.config.gateways"
_ROUTERS = "uwsgi_deploy.config.routers"

# Loaded by those who mount something only.
_MOUNTS = "uwsgi_deploy.config.mounts"


def _check_mounts(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    application = settings.application
    if not application.mount:
        for name in ("manage-script-name", "no-default-app"):
            if getattr(application, name.replace("-", "_")):
                warn(f"{origins.get(name, BUILT_IN)}: '{name}' has no effect without 'mount'")
        return
    origin = origins.get("mount", BUILT_IN)
    try:
        points = [mount.point for mount in import_module(_MOUNTS).mounts_of(application.mount)]
    except ValueError as error:
        raise ConfigError(origin, f"'mount' {error}") from None
    if "" in points and (application.module or application.wsgi_file):
        raise ConfigError(
            origin,
            f"'mount' names a default application beside '{application.module or application.wsgi_file}'",
            hint="one under a path is written as /path=application",
        )
    speaks_http = settings.sockets.http_socket or settings.sockets.https_socket or settings.gateway.listen
    if speaks_http and not application.manage_script_name:
        warn(
            f"{origin}: without 'manage-script-name' mounts are chosen by SCRIPT_NAME, which HTTP clients cannot send: "
            "on an http-socket all requests are for the default application"
        )


# Loaded by those who write rules only.
_ROUTING = "uwsgi_deploy.config.routing"


def _check_routes(settings: Settings, warn: Callable[[str], None]) -> None:
    """Rules that can be understood; each mistake has its own place."""
    if settings.routes:
        routing = import_module(_ROUTING)
        routing.chains_of(settings.routes)
        for note in routing.notes_about(settings.routes):
            warn(note)


# Loaded by those who trust a proxy only.
_TRUSTED = "uwsgi_deploy.config.trusted"


def _check_proxies(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    proxies = settings.proxies
    if proxies.enable_proxy_protocol:
        origin = origins.get("enable-proxy-protocol", BUILT_IN)
        if not proxies.trusted_proxies:
            raise ConfigError(
                origin,
                "'enable-proxy-protocol' needs 'trusted-proxies': anybody else could name any client",
                hint="name the load balancers, such as trusted-proxies = 10.0.0.0/8; * if nobody else can connect",
            )
        if not (settings.sockets.http_socket or settings.sockets.https_socket):
            warn(f"{origin}: 'enable-proxy-protocol' is about http-socket and https-socket, and there is none")
    if not proxies.trusted_proxies:
        if where := origins.get("trusted-proxy-headers"):
            warn(f"{where}: 'trusted-proxy-headers' has no effect without 'trusted-proxies'")
        return
    trusted = import_module(_TRUSTED)
    for name, read, value in (
        ("trusted-proxies", trusted.trusted_in, proxies.trusted_proxies),
        ("trusted-proxy-headers", trusted.headers_in, proxies.trusted_proxy_headers),
    ):
        try:
            read(value)
        except ValueError as error:
            raise ConfigError(origins.get(name, BUILT_IN), f"'{name}' {error}") from None


def _check_packets(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> Settings:
    packets, application = settings.packets, settings.application
    if "protocol" in origins and not settings.sockets.socket:
        warn(f"{origins['protocol']}: 'protocol' has no effect without 'socket': other options name what they speak")
    where, loads = origins.get("uwsgi-allow-from", BUILT_IN), origins.get("dynamic-apps", BUILT_IN)
    trusted = None
    if packets.uwsgi_allow_from:
        try:
            trusted = import_module(_TRUSTED).trusted_in(packets.uwsgi_allow_from)
        except ValueError as error:
            raise ConfigError(where, f"'uwsgi-allow-from' {error}") from None
        if not any(settings.sockets.spoken_on(Protocol.UWSGI, Protocol.PUWSGI)):
            warn(f"{where}: 'uwsgi-allow-from' is about sockets of the uwsgi protocol, and there is none")
    if not packets.dynamic_apps:
        return settings
    if trusted is None or not (trusted.networks or trusted.unix or trusted.anyone):
        raise ConfigError(
            loads,
            "'dynamic-apps' needs 'uwsgi-allow-from': anybody else could run any code",
            hint="name the web server, such as uwsgi-allow-from = unix; mount names applications without that",
        )
    if trusted.anyone:
        raise ConfigError(where, "'uwsgi-allow-from = *' with 'dynamic-apps' lets whoever connects run any code")
    if not (application.module or application.wsgi_file or application.mount):
        return replace(settings, application=replace(application, need_app=False))
    return settings


# Loaded by those who speak TLS only.
_TLS = "uwsgi_deploy.config.tls"


def _check_tls(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Values that can be read, and an address for them. What is in the files is for `cli.certificates`."""
    tls, sockets = settings.tls, settings.sockets
    if not settings.speaks_tls:
        for field in dataclasses.fields(tls):
            name = field.name.replace("_", "-")
            if name in origins:
                warn(f"{origins[name]}: '{name}' has no effect without https-socket or https")
    readers = (
        ("https-socket", sockets.https_socket, "address_and_files_of"),
        ("suwsgi-socket", sockets.suwsgi_socket, "address_and_files_of"),
        ("https", settings.gateway.https, "address_and_files_of"),
        ("https2", settings.gateway.https2, "named_parts_of"),
        ("sni", tls.sni, "named_of"),
        ("sni-regexp", tls.sni_regexp, "matched_of"),
    )
    for name, values, reader in readers:
        for value in values:
            try:
                getattr(import_module(_TLS), reader)(value)
            except ValueError as error:
                raise ConfigError(origins.get(name, BUILT_IN), f"'{name}' {error}") from None


_PRIORITY = re.compile(r"[+-]?\d{1,2}")
# What the C library asks for on the usual machines, in KiB.
SMALLEST_STACK = 32


def _check_system(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Values that the kernel would refuse only when everything else is done."""
    system, who = settings.system, settings.identity
    if system.prio and not (_PRIORITY.fullmatch(system.prio) and -20 <= int(system.prio) <= 19):
        raise ConfigError(origins.get("prio", BUILT_IN), f"'prio' must be from -20 to 19, not '{system.prio}'")
    if 0 < system.threads_stacksize < SMALLEST_STACK:
        raise ConfigError(
            origins.get("threads-stacksize", BUILT_IN), f"'threads-stacksize' is KiB, at least {SMALLEST_STACK}"
        )
    if who.master_as_root and who.drop_after_apps:
        raise ConfigError(
            origins.get("drop-after-apps", BUILT_IN), "'master-as-root' and 'drop-after-apps' contradict each other"
        )
    for name, postponed in (("master-as-root", who.master_as_root), ("drop-after-apps", who.drop_after_apps)):
        if postponed and not (who.uid or who.gid):
            warn(f"{origins.get(name, BUILT_IN)}: '{name}' has no effect without uid or gid")


def _check_cheaper(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Numbers of workers that fit together, and options that mean something by themselves."""
    cheaper, processes = settings.cheaper, settings.workers.processes
    for name in ("cheaper-step", "cheaper-overload", "cheaper-idle", "cheaper-busyness-backlog-step"):
        if getattr(cheaper, name.replace("-", "_")) < 1:
            raise ConfigError(origins.get(name, BUILT_IN), f"'{name}' must be at least 1")
    if cheaper.cheaper and cheaper.cheaper >= processes:
        raise ConfigError(
            origins.get("cheaper", BUILT_IN),
            f"invalid cheaper value: {cheaper.cheaper} must be lower than processes ({processes})",
            hint="processes is the largest number of workers, cheaper the smallest",
        )
    if 0 < cheaper.cheaper_rss_limit_hard <= cheaper.cheaper_rss_limit_soft:
        raise ConfigError(
            origins.get("cheaper-rss-limit-hard", BUILT_IN),
            "'cheaper-rss-limit-hard' must be higher than 'cheaper-rss-limit-soft'",
        )
    if cheaper.cheaper_busyness_min >= cheaper.cheaper_busyness_max:
        raise ConfigError(
            origins.get("cheaper-busyness-min", BUILT_IN),
            "'cheaper-busyness-min' must be lower than 'cheaper-busyness-max'",
        )
    if cheaper.cheap and cheaper.die_on_no_workers:
        raise ConfigError(
            origins.get("die-on-no-workers", BUILT_IN), "'cheap' starts without workers: the server would end"
        )
    needs = {"cheaper": cheaper.cheaper, "idle": cheaper.idle}
    for name, origin in origins.items():
        needed = "cheaper" if name.startswith("cheaper-") else "idle" if name == "die-on-idle" else ""
        if needed and not needs[needed]:
            warn(f"{origin}: '{name}' has no effect without '{needed}'")


def require_socket(settings: Settings) -> None:
    """A server without an address serves nobody: uWSGI's most frequent first message, with a way out."""
    if not (any(settings.sockets.addresses.values()) or settings.routers):
        raise ConfigError(
            "configuration",
            "the -s/--socket option is missing: there is no address to listen on",
            hint="add --http-socket :8000 for HTTP, --socket 127.0.0.1:3031 for nginx's uwsgi_pass, or set PORT",
        )
