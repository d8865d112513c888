"""The PostgreSQL that tests use: each test has a database of its own, and nothing is left behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.postgres import Cluster, Database, missing
from tests.support.server import REPOSITORY
from tests.support.waiting import wait_until

STARTS_ONE = """
from tests.support.postgres import cluster
with cluster() as running:
    print(running.port, running.directory, flush=True)
    input()
"""


def test_databases_are_separate(postgres_cluster: Cluster, postgres: Database) -> None:
    with postgres_cluster.database() as other:
        postgres.rows("CREATE TABLE here (number int)")
        assert other.value("SELECT to_regclass('here')") is None
        assert postgres.value("SELECT to_regclass('here')") == "here"
        with psycopg.connect(other.url):
            assert len(other.clients()) == 1
            assert postgres.clients() == []
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        other.rows("SELECT 1")


def test_an_empty_one_for_each_test(postgres: Database) -> None:
    assert postgres.value("SELECT to_regclass('here')") is None


@pytest.fixture
def killed() -> Iterator[tuple[int, str]]:
    """The port and folder of a cluster whose test process was killed."""
    if reason := missing():
        pytest.skip(reason)
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        port, directory = process.stdout.readline().split()
        process.send_signal(signal.SIGKILL)
    yield int(port), directory
    subprocess.run(["rm", "-rf", directory], check=True)


def test_ends_with_the_test_process(killed: tuple[int, str]) -> None:
    """A test run that is killed leaves no server behind."""
    port, _ = killed

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    wait_until(gone, 30, what="PostgreSQL to end")
