"""Processor time per request for a small and a large file, of this server and of others, with wrk.

    python benchmarks/static_files.py                             this server, and nginx if it is installed
    python benchmarks/static_files.py --peers /path/to/venv/bin   also uwsgi and granian from there
    python benchmarks/static_files.py --sizes 10240 --seconds 1

As in cpu_per_request.py the server has the first processor and wrk the second; a row is the median of the rounds, in
which the servers take turns. `wrk us` is what wrk needs for a request: with a large file it is what limits all of them.
Each server's first answer is compared with the file. Servers: ours (static-map), ours with packed variants to look for
(static-gzip-all), uwsgi (http11-socket and static-map), granian (--static-path-mount), nginx (one worker, sendfile).
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cpu_per_request import free_port, pinned, script
from measuring import APPS, REPOSITORY, cpu_seconds, end, session_pids, wait_for

NGINX = """\
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; types {{ }}
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; location /static/ {{ alias {files}/; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of wrk: requests per second, microseconds of the server's and of wrk's processor time for each."""

    rate: float
    microseconds: float
    client: float
    errors: str


def commands(directory: Path, files: Path, peers: str) -> Iterator[tuple[str, int, list[str]]]:
    """Name, port and command of every server that is there."""
    port = free_port()
    ours = [sys.executable, "-m", "uwsgi_deploy", "--module", "hello", "--disable-logging", "--http-socket"]
    yield "uwsgi-deploy", port, [*ours, f"127.0.0.1:{port}", "--static-map", f"/static={files}"]
    port = free_port()
    mapped = ["--static-map", f"/static={files}", "--static-gzip-all"]
    yield "uwsgi-deploy, gzip-all", port, [*ours, f"127.0.0.1:{port}", *mapped]
    port = free_port()
    if uwsgi := shutil.which("uwsgi", path=peers):
        sockets = ["--http11-socket", f"127.0.0.1:{port}", "--tcp-nodelay", "--static-map", f"/static={files}"]
        yield "uwsgi", port, [uwsgi, "--module", "hello", "--master", "--disable-logging", *sockets]
    port = free_port()
    if granian := shutil.which("granian", path=peers):
        mount = ["--static-path-route", "/static", "--static-path-mount", str(files)]
        address = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
        yield "granian", port, [granian, "--interface", "wsgi", *address, *mount, "hello:application"]
    port = free_port()
    if nginx := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"):
        configuration = directory / "nginx.conf"
        configuration.write_text(NGINX.format(directory=directory, port=port, files=files))
        yield "nginx", port, [nginx, "-c", str(configuration), "-p", str(directory)]


def fetched(port: int, path: str) -> bytes | None:
    """The file as a server sends it; None while it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except OSError:
        return None
    finally:
        connection.close()
    return body if answer.status == 200 else None


def one_round(leader: int, url: str, arguments: argparse.Namespace, lua: str) -> Sample:
    """Load the server for some seconds."""
    command = pinned(1, ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "-s", lua, url])
    before, started = cpu_seconds(session_pids(leader)), time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=arguments.seconds + 60).stdout
    spent, took = cpu_seconds(session_pids(leader)) - before, time.monotonic() - started
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    found = re.search(r"(\d+) requests in", output)
    requests = max(int(found[1]) if found else 0, 1)
    errors = "; ".join(re.findall(r"(?:Socket errors|Non-2xx).*", output))
    return Sample(requests / took, spent / requests * 1e6, client / requests * 1e6, errors)


@contextmanager
def running(name: str, command: list[str], port: int, target: str) -> Iterator[int]:
    """A server that sends the file; its first process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(APPS), str(REPOSITORY)))}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            pinned(0, command), cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(lambda: fetched(port, target) or server.poll() is not None, 30, f"a file of {name}")
            if server.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{name} ended:\n{log.read().decode(errors='replace')}")
            yield server.pid
        finally:
            end(server)


def table(directory: Path, path: Path, arguments: argparse.Namespace, lua: str) -> bool:
    """Print the rows for a file; whether every server sent it as it is. All run, one is loaded at a time, in turns."""
    target = f"/static/{path.name}"
    samples: dict[str, list[Sample]] = {}
    wrong = set()
    with ExitStack() as servers:
        present = []
        for name, port, command in commands(directory, path.parent, arguments.peers):
            present.append((name, port, servers.enter_context(running(name, command, port, target))))
            if fetched(port, target) != path.read_bytes():
                wrong.add(name)
        for _ in range(arguments.rounds):
            for name, port, leader in present:
                url = f"http://127.0.0.1:{port}{target}"
                samples.setdefault(name, []).append(one_round(leader, url, arguments, lua))
    print(f"a file of {path.stat().st_size} bytes, keep-alive")
    print(f"{'us/request':>10s} {'requests/s':>10s} {'wrk us':>8s}  server")
    for name, rounds in samples.items():
        spent, rate, client = (
            statistics.median(getattr(each, column) for each in rounds) for column in ("microseconds", "rate", "client")
        )
        remark = f"{' WRONG CONTENT' if name in wrong else ''} {rounds[0].errors}".rstrip()
        print(f"{spent:10.1f} {rate:10.0f} {client:8.1f}  {name}{remark}", flush=True)
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="folder with the programs uwsgi and granian")
    parser.add_argument("--sizes", default="10240,10485760", help="bytes, comma separated")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing (Debian: apt-get install wrk)")
    is_right = True
    with tempfile.TemporaryDirectory(prefix="static-files-") as folder:
        files, lua = Path(folder, "files"), Path(folder, "request.lua")
        files.mkdir()
        for path in (Path(folder), files):
            path.chmod(0o755)  # nginx's worker is somebody else
        lua.write_text(script(close=False, body=0))
        for size in map(int, arguments.sizes.split(",")):
            path = files / f"{size}.bin"
            path.write_bytes(os.urandom(size))
            is_right &= table(Path(folder), path, arguments, str(lua))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
