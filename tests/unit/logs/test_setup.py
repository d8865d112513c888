"""The log is descriptor 2: where it goes and how a message is written. In interpreters of their own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def run(program: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program that may import the package."""
    code = "from uwsgi_deploy.logs.setup import open_log, log, log_file, reopen_log, reopen_if_moved, rotate_log\n"
    code += "from uwsgi_deploy.config.settings import LogSettings\n" + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, timeout=30, **options)  # type: ignore[call-overload,no-any-return]


def test_log_writes_whole_lines() -> None:
    """One line per message, whatever characters it has; a final newline is not doubled."""
    result = run(r"""log("one"); log("two\n"); log("caf\xe9 \udcff")""")
    assert result.stderr == "one\ntwo\ncafé \\udcff\n".encode()


def test_log_survives_a_closed_reader() -> None:
    """A log that cannot be written stops nobody."""
    result = run("import os; r, w = os.pipe(); os.close(r); os.dup2(w, 2); log('lost'); print('alive')")
    assert result.stdout == b"alive\n"


def test_logto_takes_both_streams(tmp_path: Path) -> None:
    """Everything that is printed or logged is appended to the file, in order, at once."""
    path = tmp_path / "app.log"
    path.write_text("before\n")
    run(f"open_log(LogSettings(logto={str(path)!r})); log('a'); print('b'); log('c'); import os; os._exit(0)")
    assert path.read_text() == "before\na\nb\nc\n"


def test_logto_is_private(tmp_path: Path) -> None:
    """Logs are not for everybody."""
    path = tmp_path / "app.log"
    run(f"import os; os.umask(0); open_log(LogSettings(logto={str(path)!r}))")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_logto_that_cannot_be_opened(tmp_path: Path) -> None:
    """The option and the reason are said."""
    result = run(
        f"""
        from uwsgi_deploy.errors import ConfigError
        try:
            open_log(LogSettings(logto={str(tmp_path / "none" / "app.log")!r}))
        except ConfigError as error:
            print(error)
        """
    )
    assert result.stdout.startswith(b"logto: cannot open ")
    assert result.stdout.endswith(b"No such file or directory\n")


def test_closed_descriptors_are_filled() -> None:
    """A supervisor that closes 0, 1 and 2 must not make a socket standard output."""
    program = """
    import os, sys, json
    os.dup2(2, 20)
    os.close(0); os.close(1); os.close(2)
    open_log(LogSettings())
    os.write(20, json.dumps([os.readlink(f"/proc/self/fd/{n}") for n in range(3)]).encode())
    """
    assert run(program, stdin=subprocess.DEVNULL).stderr == b'["/dev/null", "/dev/null", "/dev/null"]'


def test_standard_input_is_null() -> None:
    """No worker waits for a terminal."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb"):
        assert run("import sys; open_log(LogSettings()); print(repr(sys.stdin.read()))", stdin=reader).stdout == b"''\n"


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_log_that_was_moved_away_is_opened_again(tmp_path: Path) -> None:
    """By its name, whatever the working directory; one that was not moved is left alone."""
    path = tmp_path / "app.log"
    run(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        open_log(LogSettings(logto="app.log"))
        os.chdir("/")
        before = os.fstat(2).st_ino
        assert (log_file(), reopen_if_moved(), os.fstat(2).st_ino) == ({str(path)!r}, "", before)
        os.rename({str(path)!r}, {str(path)!r} + ".1")
        assert reopen_if_moved() == ""  # nobody has made the new file yet: it is the master's to make
        log("late")
        assert reopen_log() == ""
        log("new"); print("printed")
        """
    )
    assert (tmp_path / "app.log.1").read_text() == "late\n"
    assert path.read_text() == "new\nprinted\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_rotation(tmp_path: Path) -> None:
    """The old file gets the time into its name; twice in a second nothing is overwritten."""
    path = tmp_path / "app.log"
    run(
        f"""
        open_log(LogSettings(logto={str(path)!r}))
        for word in ("one", "two", "three"):
            log(word)
            assert rotate_log(1700000000.9) == ""
        """
    )
    moved = ["app.log.1700000000", "app.log.1700000000.1", "app.log.1700000000.2"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["app.log", *moved]
    assert path.read_text() == ""
    lines = (tmp_path / moved[1]).read_text().splitlines()
    assert lines == ["two", f"logsize: 4, triggering rotation to {tmp_path / moved[1]}..."]


def test_rotation_that_cannot_be_done(tmp_path: Path) -> None:
    """Without a file of ours, and without the right to move it; the log stays where it is."""
    result = run("print(reopen_log()); print(rotate_log(0)); print(repr(reopen_if_moved()))")
    assert result.stdout.decode().count("logto is not set") == 2
    path = tmp_path / "d" / "app.log"
    path.parent.mkdir()
    run(
        f"""
        import os
        open_log(LogSettings(logto={str(path)!r}))
        keep = os.dup(2)
        os.rename({str(path.parent)!r}, {str(tmp_path / "moved")!r})
        assert "cannot move" in rotate_log(0) and "No such file" in reopen_log()
        log("still here")
        """
    )
    assert (tmp_path / "moved" / "app.log").read_text().endswith("still here\n")


def test_truncated_at_the_start_only(tmp_path: Path) -> None:
    """log-truncate: what a former run wrote goes; a reload of this one empties nothing."""
    path = tmp_path / "app.log"
    path.write_text("before\n")
    run(
        f"""
        from uwsgi_deploy.logs.setup import keep_log
        settings = LogSettings(logto={str(path)!r}, log_truncate=True)
        open_log(settings); log('first')
        keep_log(settings); log('second')
        """
    )
    assert path.read_text() == "first\nsecond\n"


def test_rotation_to_a_name_of_ones_own(tmp_path: Path) -> None:
    """log-backupname: the one that is there is replaced."""
    path, backup = tmp_path / "app.log", tmp_path / "old.log"
    backup.write_text("oldest\n")
    run(
        f"""
        open_log(LogSettings(logto={str(path)!r})); log('old')
        assert rotate_log(1.0, {str(backup)!r}) == ""
        log('new')
        """
    )
    assert path.read_text() == "new\n"
    assert backup.read_text().startswith("old\nlogsize: 4, triggering rotation to ")
    assert len(list(tmp_path.iterdir())) == 2
