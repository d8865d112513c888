"""Processor time per request of this server and others, side by side, with wrk (Debian: apt-get install wrk).

    python benchmarks/cpu_per_request.py                                   hello, keep-alive
    python benchmarks/cpu_per_request.py hello:application --close         a connection per request
    python benchmarks/cpu_per_request.py variety:upload --body 65536
    python benchmarks/cpu_per_request.py hello:application --option="--threads 4"
    python benchmarks/cpu_per_request.py --versus "gunicorn -b 127.0.0.1:{port} {application}"

The server's processes run on the first processor and wrk on the second, so the time that the kernel charges to the
server's whole session is the figure to trust; requests per second are often wrk's own limit. A row is the median of the
rounds. Compare rows of one run only. Applications: hello:application, variety:blocks, variety:upload, variety:large,
small:application and blog:application (Django), flasked:application (Flask).
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measuring import APPS, REPOSITORY, cpu_seconds, end, pss, session_pids, wait_for

OURS = f"{sys.executable} -m uwsgi_deploy --http-socket 127.0.0.1:{{port}} --module {{application}} --disable-logging"
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cookie": "sessionid=k3v9s0q1m2n4b5v6c7x8z9a0s1d2f3g4; csrftoken=Q1w2E3r4T5y6U7i8O9p0A1s2D3f4G5h6",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
}


@dataclass(frozen=True, slots=True)
class Round:
    """What one run of wrk saw."""

    requests_per_second: float
    microseconds: float
    errors: str


def pinned(processor: int, command: list[str]) -> list[str]:
    several = len(os.sched_getaffinity(0)) > 1 and shutil.which("taskset")
    return ["taskset", "-c", str(processor), *command] if several else command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def script(*, close: bool, body: int) -> str:
    """wrk's request, in Lua."""
    headers = {**HEADERS, **({"Connection": "close"} if close else {})}
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    if body:
        lines += ['wrk.method = "POST"', f'wrk.body = string.rep("x", {body})']
    return "\n".join(lines)


def one_round(leader: int, port: int, arguments: argparse.Namespace, lua: str) -> Round:
    """Load the server for some seconds."""
    connections, seconds = f"-c{arguments.connections}", f"-d{arguments.seconds}s"
    command = pinned(1, ["wrk", "-t1", connections, seconds, "-s", lua, f"http://127.0.0.1:{port}/"])
    before, started = cpu_seconds(session_pids(leader)), time.monotonic()
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=arguments.seconds + 60).stdout
    spent, took = cpu_seconds(session_pids(leader)) - before, time.monotonic() - started
    found = re.search(r"(\d+) requests in", output)
    requests = int(found[1]) if found else 0
    errors = "; ".join(re.findall(r"(?:Socket errors|Non-2xx).*", output))
    return Round(requests / took, spent / max(requests, 1) * 1e6, errors)


def measure(template: str, arguments: argparse.Namespace, lua: str) -> tuple[list[Round], int]:
    """The rounds of one server, and its memory after them."""
    port = free_port()
    command = shlex.split(template.format(port=port, application=arguments.application))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(APPS), str(REPOSITORY)))}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            pinned(0, command), cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(lambda: answers(port) or server.poll() is not None, 30, f"an answer of: {' '.join(command)}")
            if server.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{' '.join(command)} ended:\n{log.read().decode(errors='replace')}")
            rounds = [one_round(server.pid, port, arguments, lua) for _ in range(arguments.rounds)]
            return rounds, pss(session_pids(server.pid))
        finally:
            end(server)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("application", nargs="?", default="hello:application")
    parser.add_argument("--option", default="", help="further options of this server, as one text")
    parser.add_argument("--versus", action="append", default=[], help="another server's command")
    parser.add_argument("--close", action="store_true", help="a connection per request")
    parser.add_argument("--body", type=int, default=0, help="bytes of a request body")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing (Debian: apt-get install wrk)")
    print(f"{arguments.application}, {'connection per request' if arguments.close else 'keep-alive'}")
    print(f"{'us/request':>10s} {'requests/s':>10s} {'PSS MB':>7s}  server")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        Path(lua.name).write_text(script(close=arguments.close, body=arguments.body))
        for template in (f"{OURS} {arguments.option}", *arguments.versus):
            rounds, memory = measure(template, arguments, lua.name)
            rate = statistics.median(each.requests_per_second for each in rounds)
            time_each = statistics.median(each.microseconds for each in rounds)
            name = (
                Path(template.split()[0]).name if template in arguments.versus else f"uwsgi-deploy {arguments.option}"
            )
            print(f"{time_each:10.2f} {rate:10.0f} {memory / (1 << 20):7.1f}  {name} {rounds[0].errors}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
