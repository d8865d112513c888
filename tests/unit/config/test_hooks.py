"""Hooks as they are written: phases, order, and what is refused before anything runs."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.hooks import ACTIONS, SYMBOLS, Phase, Step, parse_action, signal_of, steps
from uwsgi_deploy.config.settings import HookSettings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.master.commands import Command
from uwsgi_deploy.process.hook_actions import _ACTIONS

SERVED = ("--http-socket", "127.0.0.1:0", "--module", "app")


def test_a_phase_runs_hooks_then_mounts_then_commands_then_functions() -> None:
    """uWSGI's order, however the options are mixed."""
    hooks = HookSettings(
        call_asap=("a:b",),
        exec_asap=("one", "two"),
        umount_asap=("/mnt",),
        mount_asap=("proc none /proc",),
        hook_asap=("print:x", "mkdir:/d"),
    )
    assert [step.action for step in steps(hooks, Phase.ASAP)] == [
        "print",
        "mkdir",
        "mount",
        "umount",
        "exec",
        "exec",
        "call",
    ]
    assert list(steps(hooks, Phase.AS_USER)) == []


def test_every_action_is_performed_by_somebody() -> None:
    """The table of names and the table of functions are the same."""
    assert set(_ACTIONS) == set(ACTIONS)


def test_every_symbol_is_a_command() -> None:
    assert {Command(value) for value in SYMBOLS.values()} <= set(Command)


def test_the_argument_is_all_that_follows_the_first_colon() -> None:
    assert parse_action("exec:echo a:b ; c # d", "hook-asap") == Step("hook-asap", "exec", "echo a:b ; c # d")


def test_a_bare_exit_is_an_exit() -> None:
    assert parse_action("exit", "hook-asap") == Step("hook-asap", "exit", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("print", None),
        ("exec", "is no ACTION:ARGUMENTS"),
        ("exec:", "lacks something"),
        ("nosuch:1", "is no ACTION:ARGUMENTS"),
        ("chmod:/file", "chmod:FILE MODE"),
        ("chown:/file root", "chown:FILE USER GROUP"),
        ("write:/file", "write:FILE TEXT"),
        ("call:c_function", "is no Python function"),
        ("exit:now", "needs a number"),
        ("unix_signal:15", "NUMBER SYMBOL"),
        ("unix_signal:9 kill_them_all", "no signal the master can be given"),
        ("unix_signal:15 nothing", "no function of the master's"),
        ("rpc:hello", "does not have yet"),
        ("alarm:a b", "does not have yet"),
    ],
)
def test_what_cannot_work_is_refused(text: str, reason: str | None) -> None:
    """With a sentence that says what is missing."""
    if reason is None:
        assert parse_action(text, "hook-asap").argument == ""
        return
    with pytest.raises(ConfigError, match=reason):
        parse_action(text, "hook-asap")


def test_unix_signal_names_a_command() -> None:
    step = parse_action("unix_signal:15 gracefully_kill_them_all", "hook-master-start")
    assert signal_of(step) == (15, "stop")


def test_unix_signal_is_the_masters() -> None:
    """In other phases it would be forgotten a moment later."""
    assert "use hook-master-start" in refusal(*SERVED, "--hook-asap", "unix_signal:15 kill_them_all")


def test_refusal_says_where_it_was_written() -> None:
    assert refusal(*SERVED, "--hook-as-user", "mkdirs:/x").startswith("command line: 'hook-as-user': 'mkdirs:/x'")


def test_commands_keep_their_semicolons_without_a_warning() -> None:
    configuration = configure(*SERVED, "--exec-asap", "echo a ; echo b # c")
    assert configuration.settings.hooks.exec_asap == ("echo a ; echo b # c",)
    assert configuration.warnings == ()


def test_master_start_without_a_master_is_worth_a_warning() -> None:
    configuration = configure(*SERVED, "--master=false", "--hook-master-start", "print:x")
    assert any("hook-master-start never runs" in warning for warning in configuration.warnings)
