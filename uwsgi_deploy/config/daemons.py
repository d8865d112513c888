"""What the attach-daemon options say: one `DaemonSpec` for each program. Pure; starts nothing."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from uwsgi_deploy.config.settings.daemons import DaemonSettings
from uwsgi_deploy.errors import ConfigError

FREQUENCY = 10.0
LONGEST_THROTTLE = 300.0


@dataclass(frozen=True, slots=True)
class DaemonSpec:
    """A program beside the application.

    key: the option and its text, by which the next configuration finds it again. pidfile: not empty for a "smart"
    daemon, which outlives the server; daemonizes: it goes into the background and writes the pid file itself.
    frequency: seconds between looks at the pid file, and the life below which an end counts as a failed start.
    touch: files whose change restarts it. reload_signal: what it gets after a reload instead of being restarted.
    """

    key: str
    command: str
    pidfile: str = ""
    daemonizes: bool = False
    frequency: float = FREQUENCY
    control: bool = False
    touch: tuple[str, ...] = ()
    stop_signal: int = int(signal.SIGTERM)
    reload_signal: int = 0
    uid: str = ""
    gid: str = ""
    chdir: str = ""
    stdin: int = 0
    longest_throttle: float = LONGEST_THROTTLE

    @property
    def option(self) -> str:
        """The option that it comes from."""
        return self.key.partition(" ")[0]

    @property
    def is_smart(self) -> bool:
        """Whether it outlives reloads and stops."""
        return bool(self.pidfile)


def daemon_specs(settings: DaemonSettings) -> Iterator[DaemonSpec]:
    """Every daemon, in the order of the options. ConfigError for one that says nothing sensible."""
    for option, make in _MAKERS.items():
        for text in getattr(settings, option.replace("-", "_")):
            yield make(option, text)


def _plain(option: str, text: str) -> DaemonSpec:
    return DaemonSpec(f"{option} = {text}", text, control=option == "attach-control-daemon")


def _smart(option: str, text: str) -> DaemonSpec:
    match = re.fullmatch(r"(?P<pidfile>[^\s,]+)(?:,(?P<seconds>\d+))?\s+(?P<command>\S.*)", text, re.DOTALL)
    if match is None:
        raise ConfigError(option, f"'{text}' is no PIDFILE[,SECONDS] COMMAND")
    return DaemonSpec(
        f"{option} = {text}",
        match["command"],
        pidfile=match["pidfile"],
        daemonizes=option == "smart-attach-daemon",
        frequency=float(match["seconds"] or FREQUENCY) or FREQUENCY,
    )


def _keyed(option: str, text: str) -> DaemonSpec:
    values: dict[str, object] = {}
    for item in re.split(r"(?<!\\),", text):
        key, equals, value = item.replace("\\,", ",").partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not value:
            raise ConfigError(option, f"'{item}' is no key=value", hint="write a comma inside a value as \\,")
        if key in _NOT_HERE:
            raise ConfigError(option, f"'{key}' is refused: {_NOT_HERE[key]}")
        if key not in _KEYS:
            raise ConfigError(option, f"unknown key '{key}'", hint=f"there are {', '.join(_KEYS)}")
        field, convert = _KEYS[key]
        try:
            values[field] = convert(value)
        except ValueError as error:
            raise ConfigError(option, f"'{key}={value}': {error}") from None
    if "command" not in values:
        raise ConfigError(option, f"'{text}' lacks cmd=COMMAND")
    spec = replace(DaemonSpec(f"{option} = {text}", ""), **values)  # type: ignore[arg-type]
    if spec.daemonizes and not spec.pidfile:
        raise ConfigError(option, "'daemonize' needs 'pidfile', by which the daemon is found")
    return spec


def _number(text: str) -> int:
    if not text.isdigit():
        raise ValueError("it must be a number")
    return int(text)


def _signal(text: str) -> int:
    number = _number(text)
    if number not in signal.valid_signals():
        raise ValueError("there is no such signal")
    return number


def _seconds(text: str) -> float:
    return float(_number(text)) or FREQUENCY


def _flag(text: str) -> bool:
    return text.lower() not in ("0", "false", "no", "off")


_KEYS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "cmd": ("command", str),
    "command": ("command", str),
    "exec": ("command", str),
    "pidfile": ("pidfile", str),
    "freq": ("frequency", _seconds),
    "control": ("control", _flag),
    "daemonize": ("daemonizes", _flag),
    "daemon": ("daemonizes", _flag),
    "touch": ("touch", lambda text: tuple(path for path in text.split(";") if path)),
    "stopsignal": ("stop_signal", _signal),
    "reloadsignal": ("reload_signal", _signal),
    "uid": ("uid", str),
    "gid": ("gid", str),
    "chdir": ("chdir", str),
    "stdin": ("stdin", _number),
    "max_throttle": ("longest_throttle", lambda text: float(_number(text))),
}

_NOT_HERE: Mapping[str, str] = {
    "ns_pid": "daemons get no pid namespace of their own here; begin the command with 'unshare --pid --fork'",
    "notifypid": "this server notifies no third process",
}

_MAKERS: Mapping[str, Callable[[str, str], DaemonSpec]] = {
    "attach-daemon": _plain,
    "attach-control-daemon": _plain,
    "smart-attach-daemon": _smart,
    "smart-attach-daemon2": _smart,
    "attach-daemon2": _keyed,
}
