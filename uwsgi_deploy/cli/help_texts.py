"""How options describe themselves to people, the same in click's help and in argparse's."""

from __future__ import annotations

from collections.abc import Mapping

from uwsgi_deploy.config.controls import Control
from uwsgi_deploy.config.schema import Kind, OptionSpec

CONFIGURATION_TITLE = "Configuration"

TITLES: Mapping[str, str] = {
    "sockets": "Sockets",
    "application": "Application",
    "workers": "Processes and threads",
    "gevent": "Green threads (gevent)",
    "http": "Requests and timeouts",
    "gateway": "The http router",
    "fastrouter": "The fastrouter",
    "rawrouter": "The rawrouter",
    "proxies": "Proxies in front",
    "packets": "Variables of uwsgi packets",
    "logs": "Logging",
    "identity": "Identity and files",
    "reload": "Reloading",
    "recycling": "Recycling workers",
    "cheaper": "Number of workers",
    "harakiri": "Harakiri and exceptions",
    "reports": "Reports of late requests",
    "hooks": "Hooks",
    "daemons": "Attached programs",
    "control": "Control",
    "system": "System",
    "watching": "Watched files",
    "websockets": "WebSockets",
    "static": "Static files",
    "routing": "Rules about requests and responses",
    "tls": "TLS",
}
"""Section of the settings to the heading of its options."""

VALUE_NAMES: Mapping[Kind, str] = {
    Kind.FLAG: "",
    Kind.TEXT: "TEXT",
    Kind.INTEGER: "N",
    Kind.SECONDS: "TIME",
    Kind.MILLISECONDS: "MS",
    Kind.BYTES: "SIZE",
    Kind.KIBIBYTES: "KIB",
    Kind.MEBIBYTES: "MIB",
    Kind.MODE: "MODE",
}

OWN_VALUE_NAMES: Mapping[str, str] = {
    "http-socket": "ADDRESS",
    "socket": "ADDRESS",
    **dict.fromkeys(("http", "http-to", "http-fallback", "http-stud-prefix", "http-stats"), "ADDRESS"),
    "http-var": "NAME=VALUE",
    "http-use-socket": "N",
    "http-post-buffering-dir": "DIR",
    "module": "MODULE:CALLABLE",
    "wsgi-file": "FILE",
    "callable": "NAME",
    "chdir": "DIR",
    "chdir2": "DIR",
    "pythonpath": "DIR",
    "home": "DIR",
    "env": "NAME=VALUE",
    **dict.fromkeys(("logto", "logto2", "daemonize", "daemonize2"), "FILE"),
    **dict.fromkeys(("pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2"), "FILE"),
    "master-fifo": "FILE",
    "touch-reload": "FILE",
    "touch-workers-reload": "FILE",
    "touch-chain-reload": "FILE",
    "touch-exec": "FILE COMMAND",
    "hook-touch": "FILE ACTION:ARGUMENTS",
    "fs-reload": "PATH",
    "fs-brutal-reload": "PATH",
    "py-auto-reload-ignore": "MODULE",
    "control-socket": "FILE",
    **dict.fromkeys(("uid", "immediate-uid", "http-uid"), "USER"),
    **dict.fromkeys(("gid", "immediate-gid", "add-gid", "http-gid"), "GROUP"),
    "cap": "NAME,...",
    "prio": "N",
    "unenv": "NAME",
    **dict.fromkeys(("chroot", "envdir", "force-cwd"), "DIR"),
    "chown-socket": "USER:GROUP",
}


def title(section: str) -> str:
    """The heading of a section; a section without an entry is called by its name."""
    return TITLES.get(section, section.replace("_", " ").capitalize())


def value_name(option: OptionSpec | Control) -> str:
    """What stands for the value in help, empty for a flag."""
    if isinstance(option, Control):
        return option.value_name
    return OWN_VALUE_NAMES.get(option.name, VALUE_NAMES[option.kind])


def switches_off(option: OptionSpec) -> str:
    """The spelling that switches a flag off which is on by default, empty for other options."""
    if option.kind is not Kind.FLAG or option.default is not True or option.always:
        return ""
    long_inverse = next((name for name in option.inverse if not name.startswith("-")), "")
    if option.name.startswith("no-"):
        return f"--{option.name}=false"
    return f"--{long_inverse or 'no-' + option.name}"


def describe(option: OptionSpec | Control) -> str:
    """Help text with other names and the default."""
    facts = []
    if option.aliases:
        facts.append("also " + ", ".join(f"--{alias}" for alias in option.aliases))
    if isinstance(option, OptionSpec):
        default = default_text(option)
        if default:
            facts.append(f"default: {default}")
    return option.help + (f"  [{'; '.join(facts)}]" if facts else "")


def default_text(option: OptionSpec) -> str:
    """The default as one would write it; empty when it says nothing."""
    if option.kind is Kind.FLAG:
        return "on" if option.default else ""
    if option.default is None or option.default in ("", ()):
        return ""
    if option.kind is Kind.MODE and isinstance(option.default, int):
        return f"{option.default:o}"
    if isinstance(option.default, float):
        return f"{option.default:g}"
    return str(option.default)
