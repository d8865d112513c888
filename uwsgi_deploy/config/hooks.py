"""What hooks say: the phases of the server's life, the actions there are, and what each needs. Pure; performs nothing.

`hook-asap = mkdir:/run/app` is one `Step` of a phase; `exec-asap`, `call-asap` and `mount-asap` are short ways to
write the steps `exec:`, `call:` and `mount:`. Who performs them is `process.hooks`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from uwsgi_deploy.config.settings.hooks import HookSettings
from uwsgi_deploy.errors import ConfigError


class Phase(Enum):
    """A moment of the server's life, named as in the options, in the order they come."""

    ASAP = "asap"
    PRE_JAIL = "pre-jail"
    POST_JAIL = "post-jail"
    IN_JAIL = "in-jail"
    AS_ROOT = "as-root"
    AS_USER = "as-user"
    PRE_APP = "pre-app"
    POST_APP = "post-app"
    POST_FORK = "post-fork"
    ACCEPTING = "accepting"
    ACCEPTING_ONCE = "accepting-once"
    ACCEPTING1 = "accepting1"
    ACCEPTING1_ONCE = "accepting1-once"
    MASTER_START = "master-start"
    AS_USER_ATEXIT = "as-user-atexit"


# In a phase, in this order (as uWSGI's): the actions, the file systems, the commands, the functions.
PREFIXES: Mapping[str, str] = {"hook": "", "mount": "mount", "umount": "umount", "exec": "exec", "call": "call"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `option` is the option it was written in, for messages."""

    option: str
    action: str
    argument: str

    def __str__(self) -> str:
        return f"{self.option} = {self.action}:{self.argument}"


@dataclass(frozen=True, slots=True)
class Syntax:
    """What stands behind an action's colon: at least `words` words, of which the last takes the rest."""

    form: str
    words: int


ACTIONS: Mapping[str, Syntax] = {
    "cd": Syntax("DIRECTORY", 1),
    "chdir": Syntax("DIRECTORY", 1),
    "mkdir": Syntax("DIRECTORY", 1),
    "putenv": Syntax("NAME=VALUE", 1),
    "chmod": Syntax("FILE MODE", 2),
    "chown": Syntax("FILE USER GROUP", 3),
    "chown2": Syntax("FILE UID GID", 3),
    "sticky": Syntax("FILE", 1),
    "exec": Syntax("COMMAND", 1),
    "safeexec": Syntax("COMMAND", 1),
    "creat": Syntax("FILE", 1),
    "create": Syntax("FILE", 1),
    "write": Syntax("FILE TEXT", 2),
    "writen": Syntax("FILE TEXT", 2),
    "append": Syntax("FILE TEXT", 2),
    "appendn": Syntax("FILE TEXT", 2),
    "writefifo": Syntax("FIFO TEXT", 2),
    "spinningfifo": Syntax("FIFO TEXT", 2),
    "unlink": Syntax("FILE", 1),
    "mount": Syntax("TYPE SOURCE TARGET [FLAGS]", 3),
    "umount": Syntax("TARGET [FLAGS]", 1),
    "call": Syntax("MODULE:FUNCTION [ARGUMENT]", 1),
    "callret": Syntax("MODULE:FUNCTION [ARGUMENT]", 1),
    "callint": Syntax("MODULE:FUNCTION NUMBER", 2),
    "callintret": Syntax("MODULE:FUNCTION NUMBER", 2),
    "hostname": Syntax("NAME", 1),
    "wait_for_fs": Syntax("PATH", 1),
    "wait_for_file": Syntax("FILE", 1),
    "wait_for_dir": Syntax("DIRECTORY", 1),
    "wait_for_socket": Syntax("ADDRESS", 1),
    "unix_signal": Syntax("NUMBER SYMBOL", 2),
    "exit": Syntax("[CODE]", 0),
    "print": Syntax("TEXT", 0),
    "log": Syntax("TEXT", 0),
}
"""Every action, with uWSGI's name."""

NOT_YET = frozenset({"alarm", "rpc", "retryrpc"})

SYMBOLS: Mapping[str, str] = {
    "gracefully_kill_them_all": "stop",
    "kill_them_all": "stop now",
    "grace_them_all": "reload",
    "reap_them_all": "brutal reload",
    "uwsgi_chain_reload": "chain reload",
    "uwsgi_reload_workers": "workers reload",
    "suspend_resume_them_all": "toggle pause",
    "stats": "statistics",
}
"""Functions of uWSGI's that people bind signals to, and the master's command that each is (`Command(value)`)."""

BINDABLE = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGURG,
    signal.SIGWINCH,
)
"""Signals that `unix_signal` can give to the master; its children have handlers of their own for all of these."""


def steps(hooks: HookSettings, phase: Phase) -> Iterator[Step]:
    """What is to be done in a phase, in order. ConfigError for what is no action."""
    for prefix, action in PREFIXES.items():
        option = f"{prefix}-{phase.value}"
        for text in getattr(hooks, option.replace("-", "_"), ()):
            yield Step(option, action, text) if action else parse_action(text, option)


def parse_action(text: str, option: str) -> Step:
    """One `ACTION:ARGUMENTS`. ConfigError for an action that there is not, or that lacks something."""
    action, colon, argument = text.partition(":")
    action, argument = action.strip(), argument.strip()
    if action in NOT_YET:
        raise ConfigError(option, f"the action '{action}' is one of uWSGI's that this version does not have yet")
    syntax = ACTIONS.get(action)
    if syntax is None or (not colon and syntax.words):
        names = ", ".join(ACTIONS)
        raise ConfigError(option, f"'{text}' is no ACTION:ARGUMENTS", hint=f"actions: {names}")
    step = Step(option, action, argument)
    check_step(step)
    return step


def check_step(step: Step) -> None:
    """ConfigError for what can be seen to be wrong before anything runs."""
    syntax = ACTIONS[step.action]
    words = step.argument.split(None, max(syntax.words - 1, 0))
    if len(words) < syntax.words:
        raise ConfigError(step.option, f"'{step.action}:{step.argument}' lacks something: {step.action}:{syntax.form}")
    if step.action == "unix_signal":
        signal_of(step)
    elif step.action == "exit" and step.argument and not step.argument.isdigit():
        raise ConfigError(step.option, f"'exit:{step.argument}' needs a number")
    elif step.action.startswith("call") and not all(words[0].partition(":")):
        raise ConfigError(
            step.option,
            f"'{words[0]}' is no Python function",
            hint="write MODULE:FUNCTION; there are no C functions to call here",
        )


def signal_of(step: Step) -> tuple[int, str]:
    """The signal that a `unix_signal` step binds, and the name of the master's command it means. ConfigError."""
    number, symbol = step.argument.split(None, 1)
    known = {str(int(bindable)): bindable for bindable in BINDABLE}
    if number not in known:
        numbers = ", ".join(f"{int(bindable)} ({bindable.name})" for bindable in BINDABLE)
        raise ConfigError(step.option, f"'{number}' is no signal the master can be given", hint=f"it takes {numbers}")
    if symbol not in SYMBOLS:
        raise ConfigError(
            step.option, f"'{symbol}' is no function of the master's", hint=f"it has {', '.join(SYMBOLS)}"
        )
    return known[number], SYMBOLS[symbol]


def check_hooks(hooks: HookSettings) -> None:
    """ConfigError for the first step of any phase that cannot work."""
    for phase in Phase:
        for step in steps(hooks, phase):
            check_step(step)
            if step.action == "unix_signal" and phase is not Phase.MASTER_START:
                raise ConfigError(step.option, "unix_signal binds signals of the master", hint="use hook-master-start")
