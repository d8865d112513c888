"""What the attach-daemon options say."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.daemons import DaemonSpec, daemon_specs

SERVED = ("--http-socket", ":8000", "--module", "app")


def spec(option: str, text: str) -> DaemonSpec:
    (found,) = daemon_specs(configure(*SERVED, f"--{option}", text).settings.daemons)
    return found


def test_a_plain_command() -> None:
    found = spec("attach-daemon", "celery -A a,b worker ; true")
    assert found.command == "celery -A a,b worker ; true"
    assert (found.is_smart, found.control, found.stop_signal) == (False, False, 15)
    assert spec("attach-control-daemon", "x").control


def test_smart_ones_have_a_pid_file() -> None:
    back, front = spec("smart-attach-daemon", "/run/x.pid,5 x --daemon"), spec("smart-attach-daemon2", "/run/x.pid x")
    assert (back.pidfile, back.frequency, back.command, back.daemonizes) == ("/run/x.pid", 5, "x --daemon", True)
    assert (front.pidfile, front.frequency, front.command, front.daemonizes) == ("/run/x.pid", 10, "x", False)


def test_keys() -> None:
    found = spec(
        "attach-daemon2",
        r"cmd=echo a\,b,freq=3,pidfile=/run/x,control=1,touch=/a;/b,stopsignal=2,reloadsignal=1,uid=u,gid=g,"
        "chdir=/d,stdin=4,max_throttle=60",
    )
    assert found == DaemonSpec(
        found.key,
        "echo a,b",
        pidfile="/run/x",
        frequency=3,
        control=True,
        touch=("/a", "/b"),
        stop_signal=2,
        reload_signal=1,
        uid="u",
        gid="g",
        chdir="/d",
        stdin=4,
        longest_throttle=60,
    )


@pytest.mark.parametrize(
    ("option", "text", "reason"),
    [
        ("smart-attach-daemon", "/run/x.pid", "is no PIDFILE"),
        ("attach-daemon2", "sleep 1", "is no key=value"),
        ("attach-daemon2", "freq=1", "lacks cmd=COMMAND"),
        ("attach-daemon2", "cmd=x,colour=red", "unknown key 'colour'"),
        ("attach-daemon2", "cmd=x,stopsignal=TERM", "it must be a number"),
        ("attach-daemon2", "cmd=x,stopsignal=99", "no such signal"),
        ("attach-daemon2", "cmd=x,daemonize=1", "needs 'pidfile'"),
        ("attach-daemon2", "cmd=x,ns_pid=1", "'ns_pid' is refused"),
    ],
)
def test_what_says_nothing_sensible_is_refused(option: str, text: str, reason: str) -> None:
    """With the place it was written at."""
    message = refusal(*SERVED, f"--{option}", text)
    assert message.startswith(f"command line: '{option}': ")
    assert reason in message


def test_daemons_need_a_master() -> None:
    message = refusal(*SERVED, "--attach-daemon", "x", "--master=false")
    assert "'attach-daemon' needs a master" in message
