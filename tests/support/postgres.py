"""A private PostgreSQL for tests: its own cluster, port, Unix socket and databases; skipped where it is not installed.

    def test_something(postgres: Database) -> None:
        server = ServerProcess(..., environment={"DATABASE_URL": postgres.url})
        assert postgres.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == 1

One cluster serves a whole test run (about 1.5 s); each test that asks for `postgres` gets a database of its own, empty.
PostgreSQL refuses to run as root: it runs as Debian's user `postgres` then. It ends when the test process does, however
that ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.waiting import wait_until

SUPERUSER = "postgres"
# Nothing here outlives the test: no fsync, small caches, no background work that is not needed.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
max_connections = {max_connections}
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 16MB
max_wal_size = 64MB
wal_level = minimal
max_wal_senders = 0
autovacuum = off
jit = off
"""
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database. `directory` has the cluster's Unix socket."""

    host: str
    port: int
    name: str
    directory: Path
    user: str = SUPERUSER

    @property
    def url(self) -> str:
        """As libpq and dj-database-url want it; SQLAlchemy after `postgresql` became `postgresql+psycopg`."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.name}"

    @property
    def django(self) -> dict[str, Any]:
        """The entry for Django's DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": self.host,
            "PORT": str(self.port),
            "NAME": self.name,
            "USER": self.user,
        }

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Execute a statement on a connection of its own; the rows of its result, [] if it has none."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *parameters: object) -> Any:
        """The first column of the first row."""
        return self.rows(statement, *parameters)[0][0]

    def clients(self) -> list[tuple[Any, ...]]:
        """(pid, state, query) of each other client that is connected to this database, oldest first."""
        return self.rows(
            "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start"
        )


class Cluster:
    """A running PostgreSQL server."""

    def __init__(self, directory: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.directory, self.port, self.process = directory, port, process

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A new database, dropped afterwards with whoever still uses it."""
        maintenance = Database("127.0.0.1", self.port, "postgres", self.directory)
        name = f"test_{uuid4().hex[:12]}"
        maintenance.rows(f"CREATE DATABASE {name}")
        try:
            yield Database("127.0.0.1", self.port, name, self.directory)
        finally:
            maintenance.rows(f"DROP DATABASE {name} WITH (FORCE)")


def programs() -> Path | None:
    """The folder with the newest version's `initdb` and `postgres`; Debian keeps them out of PATH."""
    found = shutil.which("postgres")
    if found is not None and (Path(found).resolve().parent / "initdb").exists():
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


def missing() -> str:
    """Why no cluster can be made here; "" when one can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.getuid() == 0:
        try:
            pwd.getpwnam(SUPERUSER)
        except KeyError:
            return "PostgreSQL cannot run as root, and there is no user `postgres`"
        if shutil.which("setpriv") is None:
            return "PostgreSQL cannot run as root, and there is no setpriv(1) to leave it"
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        return f"psycopg cannot be imported: {error}"
    return ""


@contextmanager
def cluster(*, max_connections: int = 100) -> Iterator[Cluster]:
    """Make a cluster, run its server, remove both. AssertionError with the server's log when it does not start."""
    binaries = programs()
    assert binaries is not None, missing()
    directory = Path(tempfile.mkdtemp(prefix="uwsgi-deploy-pg-"))
    try:
        directory.chmod(0o755)
        if os.getuid() == 0:
            user = pwd.getpwnam(SUPERUSER)
            os.chown(directory, user.pw_uid, user.pw_gid)
        data = directory / "data"
        _run(binaries / "initdb", "-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        for attempt in range(1, _ATTEMPTS + 1):
            port = _free_port()
            settings = CONFIGURATION.format(port=port, directory=directory, max_connections=max_connections)
            (data / "postgresql.auto.conf").write_text(settings)
            process = _start(binaries, directory)
            if _came_up(process, port, directory):
                break
            assert attempt < _ATTEMPTS, f"PostgreSQL did not start:\n{(directory / 'log').read_text()}"
        try:
            yield Cluster(directory, port, process)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once; nothing is to be kept
            process.wait(20)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as_superuser(*command: object) -> list[str]:
    """The command as the user `postgres` where this is root. It gets SIGQUIT when the process that started it ends."""
    words = [str(word) for word in command]
    if shutil.which("setpriv") is None:
        return words
    user = pwd.getpwnam(SUPERUSER) if os.getuid() == 0 else None
    who = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    return ["setpriv", *who, "--pdeathsig", "QUIT", *words]


def _run(*command: object) -> None:
    done = subprocess.run(_as_superuser(*command), capture_output=True, text=True, cwd="/", timeout=120)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"


def _start(binaries: Path, directory: Path) -> subprocess.Popen[bytes]:
    with open(directory / "log", "wb") as log:
        command = _as_superuser(binaries / "postgres", "-D", directory / "data")
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")


def _came_up(process: subprocess.Popen[bytes], port: int, directory: Path) -> bool:
    """Wait for the server; False when it ended, perhaps because somebody else took the port."""
    import psycopg

    def accepts() -> bool:
        if process.poll() is not None:
            return True
        try:
            # Through its Unix socket, in a folder that is ours: somebody else's server may listen on the port.
            psycopg.connect(host=str(directory), port=port, user=SUPERUSER, dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until(accepts, 60, what=f"PostgreSQL to accept connections\n{(directory / 'log').read_text()}", interval=0.05)
    return process.poll() is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """One cluster for all tests of this process."""
    if reason := missing():
        pytest.skip(reason)
    with cluster() as running:
        yield running


@pytest.fixture
def postgres(postgres_cluster: Cluster) -> Iterator[Database]:
    """An empty database for one test."""
    with postgres_cluster.database() as database:
        yield database
