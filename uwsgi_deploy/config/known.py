"""What is known about uWSGI's option names that are no options of this version: not here yet, never needed, or refused.

Only tables and look-ups, so that a message can tell "not here yet" from "a typo". An option that gains a settings
field leaves these tables (a test sees to it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


def words(text: str) -> frozenset[str]:
    """The names in a table cell."""
    return frozenset(text.split())


# Options of uWSGI, by the subject that will bring them.
NOT_YET: Mapping[str, str] = {
    "harakiri": """
        mule-harakiri spooler-harakiri cron-harakiri""",
    "TLS in the router": """
        https-session-context sslrouter""",
    "subscriptions, caches and zerg of the router": """
        http-cheap http-subscription-server http-subscription-fallback-key http-use-cache http-use-code-string
        http-zerg http-resubscribe""",
    "the http router": """
        http-manage-source http-manage-rtsp http-path-info-no-decode-slashes""",
    "more routers": """
        fastrouter-subscription-server fastrouter-subscription-slot fastrouter-subscription-use-regexp
        fastrouter-use-cache fastrouter-use-code-string fastrouter-use-socket fastrouter-zerg fastrouter-cheap
        fastrouter-uid fastrouter-gid fastrouter-resubscribe fastrouter-resubscribe-bind fastrouter-post-buffering
        fastrouter-post-buffering-dir fastrouter-force-key fastrouter-max-retries fastrouter-defer-connect-timeout
        fastrouter-emperor-socket rawrouter-subscription-server rawrouter-subscription-slot rawrouter-use-cache
        rawrouter-use-pattern rawrouter-use-base rawrouter-use-code-string rawrouter-use-socket rawrouter-zerg
        rawrouter-cheap rawrouter-max-retries rawrouter-xclient""",
    "more protocols and sockets": """
        tcp-fast-open-client zerg zerg-fallback zerg-server zerg-pool zergpool
        safe-fd fd-safe remap-modifier allowed-modifiers""",
    "more ways to load applications": """
        ignore-script-name max-apps import
        pyimport py-import python-import shared-import shared-pyimport shared-py-import shared-python-import
        spooler-import spooler-python-import pymodule-alias post-pymodule-alias eval paste paste-logger paste-name pecan
        pump web3 wsgi-lite test pyrun py python pyshell pyshell-oneshot python-raw python-worker-override worker-exec
        worker-exec2 pyargv py-programname py-program-name py-executable py-sys-executable optimize no-site wsgi-strict
        wsgi-accept-buffer wsgi-accept-buffers start_response-nodelay reload-os-env vhost
        vhost-host symcall cgi pypy-wsgi""",
    "TLS": """
        ssl-sessions-timeout ssl-session-timeout ssl-tmp-dir""",
    "exceptions": """
        exception-handler""",
    "reloading": """
        touch-mules-reload touch-spoolers-reload touch-signal
        fs-signal reload-on-fd brutal-reload-on-fd propagate-touch
        notify-socket""",
    "recycling and limits": """
        never-swap ksm check-mountpoint mountpoint-check check-mount mount-check""",
    "gevent and async": """
        asyncio greenlet ugreen
        ugreen-stacksize stackless loop async tornado""",
    "static files": """
        check-static-docroot static-cache-paths-name file-serve-mode fileserve-mode disable-sendfile""",
    "request and response rules": """
        add-header rem-header del-header collect-header response-header-collect pull-header error-page-403
        error-page-404 error-page-500 check-cache post-buffering-bufsize body-read-warning chunked-input-limit
        chunked-input-timeout upload-progress response-headers-limit write-errors-exception-only
        write-errors-tolerance cgi-mode after-request-hook after-request-call""",
    "logging": """
        log-master log-master-bufsize log-master-stream log-master-req-stream threaded-logger logger
        worker-logger req-logger logger-req worker-logger-req log-route log-req-route log-encoder log-req-encoder
        worker-log-encoder worker-log-req-encoder log-filter log-drain log-syslog log-socket log-zero log-big
        log-sendfile log-ioerror log-format-strftime logformat-strftime log-date logdate log-prefix
        logfile-chown logfile-chmod""",
    "processes": """
        no-threads-wait early-envdir ienv no-server command-mode reaper check-interval forkbomb-delay
        binary-path cgroup cgroup-opt cgroup-dir-mode autoload dlopen py-tracebacker
        py-master-check-signals early-python early-pyimport early-python-import early-pythonpath early-python-path
        thunder-lock-watchdog flock flock-wait flock2 flock-wait2 fallback-config get resolve declare-option
        inject-before inject-after""",
    "background work": """
        mule mules farm mule-reload-mercy mule-msg-size mule-msg-recv-size spooler spooler-external spooler-processes
        spooler-frequency spooler-freq spooler-ordered spooler-chdir spooler-max-tasks spooler-quiet spooler-cheap
        spooler-signal-as-task cron unique-cron cron2 legion-cron unique-legion-cron timer signal-timer rbtimer
        signal-rbtimer         locks queue queue-blocksize queue-store queue-store-sync sharedarea py-sharedarea rpc-max
        signal-bufsize cache cache2""",
    "hooks": """
        hook-emperor-start hook-emperor-stop hook-emperor-reload hook-emperor-lost hook-as-mule hook-as-gateway
        hook-as-vassal hook-as-vassal-before-drop hook-as-emperor hook-as-emperor-before-vassal hook-as-emperor-setns
        hook-as-on-demand-vassal hook-as-on-config-vassal exec-as-vassal exec-as-emperor call-as-vassal
        call-as-vassal1 call-as-vassal3
        call-as-emperor call-as-emperor1 call-as-emperor2 call-as-emperor4 mount-as-vassal mount-as-emperor
        umount-as-vassal umount-as-emperor""",
    "statistics and alarms": """
        stats stats-server stats-http stats-minified stats-min stats-no-cores stats-no-metrics stats-push
        stats-pusher-default-freq enable-metrics metric metric-threshold metric-alarm alarm-metric metrics-dir
        metrics-dir-restore metrics-no-cores carbon carbon-timeout carbon-freq carbon-id carbon-no-workers
        carbon-max-retry carbon-retry-delay carbon-root carbon-hostname-dots carbon-name-resolve carbon-idle-avg
        carbon-use-metrics statsd-no-workers statsd-all-gauges rrdtool rrdtool-freq snmp snmp-community udp alarm
        alarm-freq alarm-msg-size alarm-log log-alarm not-alarm-log alarm-fd alarm-segfault alarm-backlog
        alarm-listen-queue alarm-cheap alarm-list profiler backtrace-depth use-abort nagios ping ping-timeout""",
    "the Emperor, subscriptions and legions": """
        emperor emperor-freq emperor-required-heartbeat emperor-curse-tolerance emperor-throttle emperor-max-throttle
        emperor-tyrant emperor-tyrant-nofollow emperor-tyrant-initgroups emperor-nofollow emperor-pidfile
        emperor-procname emperor-stats emperor-stats-server emperor-broodlord emperor-no-blacklist
        emperor-graceful-shutdown emperor-magic-exec emperor-extra-extension emperor-on-demand-extension early-emperor
        emperor-wrapper emperor-cap emperor-use-clone emperor-proxy-socket emperor-command-socket
        emperor-trigger-socket emperor-wait-for-command emperor-collect-attribute emperor-subreaper
        emperor-use-fork-server fork-server vassals-inherit vassals-include vassals-inherit-before
        vassals-include-before vassals-set vassal-set vassals-start-hook vassals-stop-hook vassal-sos
        vassal-sos-backlog heartbeat zeus subscribe-to st subscribe subscribe2 subscribe-freq subscription-tolerance
        unsubscribe-on-graceful-reload start-unsubscribed subscription-notify-socket subscription-algo
        subscription-dotsplit subscription-mountpoints subscription-mountpoint subscriptions-sign-check
        subscribe-with-modifier1 weight auto-weight legion legion-mcast legion-node legion-lord legion-unlord
        legion-attach-daemon legion-smart-attach-daemon
        legion-smart-attach-daemon2 legion-setup legion-death legion-join legion-quorum legion-scroll""",
}

SUBJECT_OF: Mapping[str, str] = {name: subject for subject, names in NOT_YET.items() for name in words(names)}
"""Name of an option that is not here yet to its subject."""

SHORT_NOT_YET: Mapping[str, str] = {
    "-x": "xml",
    "-y": "yaml",
    "-j": "json",
    "-c": "cgi-mode",
    "-r": "reaper",
    "-A": "sharedarea",
    "-Q": "spooler",
    "-J": "test",
    "-O": "optimize",
}

_NO_FORMAT = "this version reads ini files only: write the options as 'name = value' lines under [uwsgi]"
_TOO_OLD = "SSL 3 and TLS 1.0 can be broken: clients need TLS 1.2 here, which all since 2014 have"
_NO_JAIL = "starting without this confinement would be unsafe, and this version does not have it"

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(words("yaml yml json js xml xmlconfig toml ini-paste ini-paste-logged"), _NO_FORMAT),
    **dict.fromkeys(
        words("stop reload pause suspend resume"), "it steers a running server and works on the command line only"
    ),
    **dict.fromkeys(words("namespace ns unshare setns pivot-root jail jail2"), _NO_JAIL),
    "raw-socket": "it gives connections to plugins that read them by themselves, and there are none here",
    "map-socket": "all workers serve all sockets: start a second server for what is to have workers of its own",
    **dict.fromkeys(words("ssl-enable3 ssl-enable-sslv3 ssl-enable-tlsv1"), _TOO_OLD),
    "ssl-option": "what the bits of OpenSSL's options would do is done already, or would make TLS weaker",
    "ssl-verify-depth": "Python's ssl module cannot set it: name the authority that signs the clients' certificates",
    "exit": "the configuration asks to stop here",
}
"""Options whose absence cannot be made good by a warning, each with the reason: refused wherever they come from."""


@dataclass(frozen=True, slots=True)
class AlwaysSo:
    """An option that is accepted because it asks for what is the case anyway. `only` limits the values that do."""

    reason: str
    takes_value: bool = False
    only: tuple[str, ...] = ()


_ONE_ACCEPT = AlwaysSo("workers never wake up together for one connection, so no lock is needed")
_FORK_HOOKS = AlwaysSo("Python's own fork hooks run in every process, always")
_CLOSED = AlwaysSo("descriptors are never passed on to programs that the application starts")
_FRESH = AlwaysSo("every request gets a fresh environ dictionary, always", takes_value=True, only=("holy",))
_OFFLOADED = AlwaysSo("files are sent without holding a core, however slow their clients are", takes_value=True)
_BUILT_IN = AlwaysSo("nothing has to be loaded: what this server has is built in", takes_value=True)

_DROPPED = AlwaysSo("privileges are dropped when the sockets are bound, and before the application is loaded")
_NO_TEARDOWN = AlwaysSo("workers never tear the interpreter down, their exit handlers run without that")

# The web server's protocols have it in every packet; with these, requests could be made to be for other languages.
_FOR_PYTHON = AlwaysSo("every request is for the Python application", takes_value=True, only=("0",))

_TICKETS = AlwaysSo("TLS sessions are resumed by tickets that all workers understand, always", takes_value=True)
_CHUNKED_INPUT = AlwaysSo("chunked request bodies are decoded, and applications find their length, always")

_EVENTS = AlwaysSo("the router takes as many events at once as there are", takes_value=True)

ALWAYS_SO: Mapping[str, AlwaysSo] = {
    **dict.fromkeys(
        words(
            """http-socket-modifier1 http-socket-modifier2 https-socket-modifier1 https-socket-modifier2
            fastcgi-modifier1 fastcgi-modifier2 scgi-modifier1 scgi-modifier2"""
        ),
        _FOR_PYTHON,
    ),
    "skip-zero": AlwaysSo("standard input is taken for a socket only where fd://0 says so"),
    "no-fd-passing": AlwaysSo("descriptors are never given to other servers"),
    "wsgi-manage-chunked-input": _CHUNKED_INPUT,
    "http-chunked-input": _CHUNKED_INPUT,
    "http-raw-body": _CHUNKED_INPUT,
    "http-events": _EVENTS,
    "fastrouter-events": _EVENTS,
    "rawrouter-events": _EVENTS,
    "fastrouter-buffer-size": AlwaysSo("a packet may have all the 65,535 bytes of its format", takes_value=True),
    "rawrouter-buffer-size": AlwaysSo("buffers grow with what there is to be kept", takes_value=True),
    "http-auto-chunked": AlwaysSo("responses without a length are chunked for HTTP/1.1 clients, always"),
    "ssl-verbose": AlwaysSo("why a TLS client was refused is logged, always"),
    "ssl-sessions-use-cache": _TICKETS,
    "ssl-session-use-cache": _TICKETS,
    "drop-after-init": _DROPPED,
    "log-reopen": AlwaysSo("a reload opens the log file again by its name, always"),
    "skip-atexit-teardown": _NO_TEARDOWN,
    "thunder-lock": _ONE_ACCEPT,
    "py-call-osafterfork": _FORK_HOOKS,
    "py-call-uwsgi-fork-hooks": _FORK_HOOKS,
    "close-on-exec": _CLOSED,
    "close-on-exec2": _CLOSED,
    "wsgi-env-behaviour": _FRESH,
    "wsgi-env-behavior": _FRESH,
    "offload-threads": _OFFLOADED,
    "offload-thread": _OFFLOADED,
    "honour-range": AlwaysSo("ranges of static files are always honoured"),
    "plugin-dir": _BUILT_IN,
    "plugins-dir": _BUILT_IN,
}

PLUGIN_OPTIONS = frozenset({"plugin", "plugins", "need-plugin", "need-plugins"})

# What PyPI's uWSGI has compiled in, and the names distributions give to the Python ones.
BUILT_IN_PLUGINS = words(
    """python gevent asyncio ping cache nagios rrdtool carbon rpc corerouter fastrouter http ugreen signal syslog
    rsyslog logsocket router_uwsgi router_redirect router_basicauth zergpool redislog mongodblog router_rewrite
    router_http logfile router_cache rawrouter router_static sslrouter spooler cheaper_busyness symcall
    transformation_tofile transformation_gzip transformation_chunked transformation_offload router_memcached
    router_redis router_hash router_expires router_metrics transformation_template stats_pusher_socket
    router_fcgi greenlet"""
)

CONDITION_NAMES = words(
    """if-env ifenv if-not-env if-opt if-not-opt if-exists ifexists if-not-exists if-file if-not-file if-dir
    if-directory ifdir if-not-dir if-reload if-not-reload if-hostname if-not-hostname if-hostname-match
    if-not-hostname-match if-plugin ifplugin if-not-plugin else for for-glob for-times for-readline end endif end-if
    endfor end-for"""
)
"""Lines that only make sense inside a file, see `logic`."""

KNOWN_NAMES: frozenset[str] = frozenset({*SUBJECT_OF, *REFUSED, *ALWAYS_SO, *PLUGIN_OPTIONS, *CONDITION_NAMES})
"""Every long name that uWSGI gives a meaning and the settings do not."""

_VERSIONED = re.compile(r"^(python|gevent)\d*$")


def plugin_names(value: str) -> list[str]:
    """The plain names in a `plugins =` value: comma or blank separated, perhaps paths of `*_plugin.so` files."""
    names = (word.rpartition("/")[2] for word in re.split(r"[,\s]+", value) if word)
    return [name.removesuffix(".so").removesuffix("_plugin") for name in names]


def is_built_in(plugin: str) -> bool:
    """Whether asking for this uWSGI plugin asks for nothing that has to be loaded here."""
    return plugin in BUILT_IN_PLUGINS or _VERSIONED.match(plugin) is not None


def plugin_refusal(plugin: str) -> str:
    """The sentence for a plugin that is not built in."""
    return f"the uWSGI plugin {plugin!r} cannot be loaded: this server is written in Python and has no C plugins"


def not_available(name: str) -> str:
    """Why this option of uWSGI's cannot be used here, or an empty string when it is none."""
    if name in REFUSED:
        return f"'{name}' is refused: {REFUSED[name]}"
    if name in SUBJECT_OF:
        return f"'{name}' is an option of uWSGI that this version does not have yet (subject: {SUBJECT_OF[name]})"
    return ""
