"""Forking: who becomes whose parent, what a child starts with, how it ends. Each case has an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that may import the package."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY, capture_output=True, text=True, timeout=30
    )


def test_adopted_child_has_the_subreaper_as_parent() -> None:
    """fork_adopted's body runs when the subreaper is the parent already, and its exit code arrives there."""
    result = run(
        """
        import os
        from uwsgi_deploy.process import prctl
        from uwsgi_deploy.process.fork import fork_adopted, fork_child
        prctl.become_subreaper()
        master = os.getpid()
        template = fork_child(lambda: fork_adopted(lambda: 7 if os.getppid() == master else 8) and 0)
        ends = {}
        for _ in range(2):
            pid, status = os.wait()
            ends[pid == template] = os.waitstatus_to_exitcode(status)
        assert ends == {True: 0, False: 7}, ends
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_adopted_pid_is_reported() -> None:
    """The caller learns the grandchild's pid, and is not left with a zombie in between."""
    result = run(
        """
        import os, signal
        from uwsgi_deploy.process import prctl
        from uwsgi_deploy.process.fork import fork_adopted
        prctl.become_subreaper()
        reader, writer = os.pipe()
        def body():
            os.write(writer, str(os.getpid()).encode())
            return 0
        pid = fork_adopted(body)
        assert int(os.read(reader, 20)) == pid
        assert os.waitpid(-1, 0)[0] == pid
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            print("no more children")
        """
    )
    assert (result.stdout, result.stderr) == ("no more children\n", "")


def test_child_starts_with_default_signals() -> None:
    """No handler, wake-up descriptor or mask of the parent acts in the child."""
    result = run(
        """
        import os, signal
        from uwsgi_deploy.process import signals
        from uwsgi_deploy.process.fork import fork_child
        wakeup = signals.Wakeup()
        signals.heed([signal.SIGTERM])
        def body():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
            os.kill(os.getpid(), signal.SIGTERM)
            return 0
        _, status = os.waitpid(fork_child(body), 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
        assert signal.SIGTERM not in wakeup.drain()
        os.kill(os.getpid(), signal.SIGTERM)
        assert wakeup.drain() == (signal.SIGTERM,)
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_child_never_returns_up_the_stack() -> None:
    """A crash or sys.exit in the child's body ends it there; the parent's cleanup runs once."""
    result = run(
        """
        import os, sys
        from uwsgi_deploy.process.fork import fork_child
        def crash():
            print("buffered ", end="")
            raise ValueError("in the child")
        try:
            for body in (crash, lambda: sys.exit(5)):
                print("before;", end=" ")
                _, status = os.waitpid(fork_child(body), 0)
                print(os.waitstatus_to_exitcode(status), end="; ")
        finally:
            print("cleanup")
        """
    )
    assert result.stdout == "before; buffered 1; before; 1; cleanup\n"
    assert "ValueError: in the child" in result.stderr


def test_finish_waits_for_threads_and_runs_exit_handlers() -> None:
    """A forked process ends as sys.exit would: threads end, executors drain, atexit runs, output is written."""
    result = run(
        """
        import atexit, os, threading, time
        from concurrent.futures import ThreadPoolExecutor
        from uwsgi_deploy.process.finish import finish_interpreter
        from uwsgi_deploy.process.fork import fork_child
        def body():
            pool = ThreadPoolExecutor(1)
            pool.submit(lambda: (time.sleep(0.2), print("job")))
            release = threading.Event()
            threading.Thread(target=lambda: (release.wait(), print("thread"))).start()
            threading.Timer(0.1, release.set).start()
            atexit.register(print, "atexit")
            finish_interpreter(3, time_limit=20)
            return 3
        _, status = os.waitpid(fork_child(body), 0)
        print(os.waitstatus_to_exitcode(status))
        """
    )
    assert sorted(result.stdout.split()) == ["3", "atexit", "job", "thread"]
    assert result.stdout.endswith("atexit\n3\n")


def test_finish_has_a_limit() -> None:
    """A thread that never ends does not keep the process."""
    result = run(
        """
        import os, threading, time
        from uwsgi_deploy.process.finish import finish_interpreter
        from uwsgi_deploy.process.fork import fork_child
        def body():
            threading.Thread(target=threading.Event().wait).start()
            finish_interpreter(3, time_limit=0.2)
            return 4
        started = time.monotonic()
        _, status = os.waitpid(fork_child(body), 0)
        print(os.waitstatus_to_exitcode(status), time.monotonic() - started < 10)
        """
    )
    assert result.stdout == "3 True\n"


def test_fork_failure_in_between_is_an_error() -> None:
    """When the second fork fails the caller gets the reason, not a pid."""
    result = run(
        """
        import errno, os
        from uwsgi_deploy.process import fork
        real, calls = fork.fork, []
        def once():
            if calls:
                raise OSError(errno.EAGAIN, "no more processes")
            calls.append(1)
            return real()
        fork.fork = once
        try:
            fork.fork_adopted(lambda: 0)
        except OSError as error:
            print(error.errno == errno.EAGAIN)
        """
    )
    assert (result.stdout, result.stderr) == ("True\n", "")
