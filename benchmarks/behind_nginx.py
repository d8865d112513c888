"""Processor time per request behind nginx: this server and others through `uwsgi_pass` and its kin, with wrk.

    python benchmarks/behind_nginx.py                               this server in all four protocols
    python benchmarks/behind_nginx.py --peers /path/to/venv/bin     also uwsgi and granian from there
    python benchmarks/behind_nginx.py flasked:application --rounds 9

One nginx with one worker is in front of all servers, each of which listens on a Unix socket (granian on a TCP port).
The servers have the first processor, nginx and wrk the second, and they are loaded in turns: a row is the median of the
rounds. Counted is what the kernel charges to the server's processes, without nginx. Exit code 1 when `uwsgi_pass` to
this server costs more than 1.15 times (`--most`) what it costs uWSGI, or when an answer was wrong. Applications as in
cpu_per_request.py.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cpu_per_request import free_port, pinned, script
from measuring import APPS, REPOSITORY, cpu_seconds, end, session_pids, wait_for

NGINX = """\
daemon off; {user} worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; keepalive_requests 1000000; types {{ }}
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    {upstreams}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
        {locations}
    }}
}}
"""
VARIABLES = {
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "REQUEST_URI": "$request_uri",
    "PATH_INFO": "$document_uri",
    "SCRIPT_NAME": '""',
    "DOCUMENT_ROOT": "$document_root",
    "SERVER_PROTOCOL": "$server_protocol",
    "REQUEST_SCHEME": "$scheme",
    "REMOTE_ADDR": "$remote_addr",
    "REMOTE_PORT": "$remote_port",
    "SERVER_PORT": "$server_port",
    "SERVER_NAME": "$server_name",
    "HTTP_HOST": "$host",
}


@dataclass(frozen=True, slots=True)
class Server:
    """What is behind a location of nginx. passing: the directive's first word; address: as nginx names it."""

    name: str
    passing: str
    address: str
    command: list[str]

    @property
    def location(self) -> str:
        """Where nginx has it."""
        return f"/{re.sub('[^a-z0-9]+', '-', self.name)}/"

    def directives(self) -> str:
        """Its location."""
        variables = dict(VARIABLES)
        if self.passing == "scgi":
            del variables["CONTENT_LENGTH"]  # nginx gives it anyway, as the first one
            variables["SCGI"] = "1"
        lines = [f"{self.passing}_param {name} {value};" for name, value in variables.items()]
        scheme = ""
        if self.passing == "proxy":
            lines, scheme = [], "http://"
        upstream = self.location.strip("/")
        return f"location {self.location} {{ {' '.join(lines)} {self.passing}_pass {scheme}{upstream}; }}"

    def upstream(self) -> str:
        """Kept connections where the protocol has them in nginx's usual configuration."""
        keeping = "keepalive 32;" if self.passing == "proxy" else ""
        return f"upstream {self.location.strip('/')} {{ server {self.address}; {keeping} }}"


def servers(directory: Path, application: str, peers: str) -> Iterator[Server]:
    """Every server that is there."""
    ours = [sys.executable, "-m", "uwsgi_deploy", "--module", application, "--disable-logging", "--chmod-socket=666"]
    for passing, option in (
        ("uwsgi", "socket"),
        ("scgi", "scgi-socket"),
        ("fastcgi", "fastcgi-socket"),
        ("proxy", "http-socket"),
    ):
        path = directory / f"ours-{passing}.sock"
        yield Server(f"ours, {passing}_pass", passing, f"unix:{path}", [*ours, f"--{option}", str(path)])
    if uwsgi := shutil.which("uwsgi", path=peers):
        common = [uwsgi, "--module", application, "--master", "--disable-logging", "--chmod-socket=666"]
        for passing, option in (("uwsgi", "socket"), ("proxy", "http11-socket")):
            path = directory / f"theirs-{passing}.sock"
            yield Server(f"uwsgi, {passing}_pass", passing, f"unix:{path}", [*common, f"--{option}", str(path)])
    if granian := shutil.which("granian", path=peers):
        port = free_port()
        address = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
        yield Server(
            "granian, proxy_pass", "proxy", f"127.0.0.1:{port}", [granian, "--interface", "wsgi", *address, application]
        )


def answer(port: int, path: str) -> tuple[int, bytes] | None:
    """Status and body; None while nginx does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return None
    finally:
        connection.close()


@contextmanager
def running(command: list[str], processor: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(APPS), str(REPOSITORY)))}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            pinned(processor, command), cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
            if process.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{' '.join(command)} ended:\n{log.read().decode(errors='replace')}")
        finally:
            end(process)


def one_round(leader: int, url: str, arguments: argparse.Namespace, lua: str) -> tuple[float, str]:
    """Microseconds of the server's processor time per request, and what went wrong."""
    command = pinned(1, ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "-s", lua, url])
    before = cpu_seconds(session_pids(leader))
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=arguments.seconds + 60).stdout
    spent = cpu_seconds(session_pids(leader)) - before
    found = re.search(r"(\d+) requests in", output)
    errors = "; ".join(re.findall(r"(?:Socket errors|Non-2xx).*", output))
    return spent / max(int(found[1]) if found else 0, 1) * 1e6, errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("application", nargs="?", default="hello:application")
    parser.add_argument("--peers", default="", help="folder with the programs uwsgi and granian")
    parser.add_argument("--most", type=float, default=1.15, help="the multiple of uWSGI's time that is promised")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx or not shutil.which("wrk"):
        raise SystemExit("nginx or wrk is missing (Debian: apt-get install nginx wrk)")
    with tempfile.TemporaryDirectory(prefix="behind-nginx-") as folder, ExitStack() as started:
        directory = Path(folder)
        directory.chmod(0o755)  # nginx's worker is somebody else
        lua = directory / "request.lua"
        lua.write_text(script(close=False, body=0))
        port, present = free_port(), list(servers(directory, arguments.application, arguments.peers))
        configuration = directory / "nginx.conf"
        configuration.write_text(
            NGINX.format(
                directory=directory,
                port=port,
                user="user root;" if os.getuid() == 0 else "",
                upstreams="\n    ".join(server.upstream() for server in present),
                locations="\n        ".join(server.directives() for server in present),
            )
        )
        leaders = [started.enter_context(running(server.command, 0)).pid for server in present]
        started.enter_context(running([nginx, "-c", str(configuration), "-p", folder], 1))
        expected = None
        for server in present:
            wait_for(
                lambda path=server.location: (answer(port, path) or (0,))[0] == 200, 30, f"an answer of {server.name}"
            )
            found = answer(port, server.location)
            expected = expected or found
            if found is None or found[0] != 200 or found[1] != expected[1]:
                raise SystemExit(f"{server.name} answers {found!r}, not {expected!r}")
        times: dict[str, list[float]] = {server.name: [] for server in present}
        wrong: dict[str, str] = {}
        for _ in range(arguments.rounds):
            for server, leader in zip(present, leaders, strict=True):
                spent, errors = one_round(leader, f"http://127.0.0.1:{port}{server.location}", arguments, str(lua))
                times[server.name].append(spent)
                if errors:
                    wrong[server.name] = errors
    return report(times, wrong, arguments)


def report(times: dict[str, list[float]], wrong: dict[str, str], arguments: argparse.Namespace) -> int:
    """Print the table; the exit code."""
    print(f"{arguments.application} behind nginx\n{'us/request':>10s} {'least':>7s} {'most':>7s}  server")
    for name, rounds in times.items():
        median, remark = statistics.median(rounds), wrong.get(name, "")
        print(f"{median:10.1f} {min(rounds):7.1f} {max(rounds):7.1f}  {name} {remark}".rstrip())
    if wrong:
        return 1
    if "uwsgi, uwsgi_pass" not in times:
        return 0
    ratios = [ours / theirs for ours, theirs in zip(times["ours, uwsgi_pass"], times["uwsgi, uwsgi_pass"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"ours, uwsgi_pass: {ratio:.2f} x uWSGI's (the median of {len(ratios)} pairs)")
    return 0 if ratio <= arguments.most else 1


if __name__ == "__main__":
    sys.exit(main())
