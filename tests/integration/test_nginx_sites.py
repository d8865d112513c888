"""Django and Flask behind Debian's nginx in every way there is: what people do with a site, and what goes wrong.

One server listens in all ways at once. nginx listens on one port: the last number of the address is the way, the third
one the site (`behind.sites`); below /unbuffered/ nothing is buffered.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.conformance.wire import Wire
from tests.examples.browser import Browser
from tests.integration.test_reload import reload
from tests.support.nginx import BEGINNING, NGINX
from tests.support.server import APPS, REPOSITORY, ServerProcess
from tests.support.waiting import wait_until

STOCK = Path("/etc/nginx")
pytestmark = pytest.mark.skipif(
    NGINX is None or not (STOCK / "scgi_params").exists(), reason="nginx with its files of parameters is not installed"
)

WAYS = ("uwsgi-unix", "uwsgi-tcp", "fastcgi-unix", "fastcgi-tcp", "scgi-unix", "scgi-tcp", "proxy-unix", "proxy-tcp")
KEPT = "fastcgi-tcp"
SITES = {"django": 1, "flask": 2}
LARGE = 50 << 20
ABORTS = 4
LEFT = "the connection ended inside the request"
OPTIONS = {"uwsgi": "--socket", "fastcgi": "--fastcgi-socket", "scgi": "--scgi-socket", "proxy": "--http-socket"}

HTTP = """
    client_max_body_size 60m;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    {servers}
}}
"""

SERVER = """
    upstream {way}-servers {{ server {address}; {keeping} }}
    server {{
        listen 127.0.1.{number}:{port};
        listen 127.0.2.{number}:{port};
        {parameters}
        {kept}
        location / {{ {kind}_pass {scheme}{way}-servers; }}
        location /unbuffered/ {{
            {kind}_request_buffering {body};
            {kind}_buffering off;
            rewrite ^/unbuffered(/.*)$ $1 break;
            {kind}_pass {scheme}{way}-servers;
        }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """nginx, and the server behind it."""

    folder: Path
    port: int
    server: ServerProcess

    def address(self, way: str, site: str) -> tuple[str, int]:
        return f"127.0.{SITES[site]}.{WAYS.index(way) + 1}", self.port

    def browser(self, way: str, site: str) -> Browser:
        return Browser("http://{}:{}".format(*self.address(way, site)))

    def wire(self, way: str, site: str, target: str, *headers: str, method: str = "GET") -> Wire:
        """A connection on which the head of a request was sent."""
        address = self.address(way, site)
        wire = Wire(address, patience=30)
        wire.send("\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {address[0]}", *headers, "", "")).encode())
        return wire

    def descriptors(self) -> tuple[int, int]:
        """How many sockets the workers have open, and how much else."""
        links = [
            os.readlink(entry)
            for pid in self.server.worker_pids.values()
            for entry in Path(f"/proc/{pid}/fd").iterdir()
        ]
        sockets = sum(link.startswith("socket:") for link in links)
        return sockets, len(links) - sockets


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o711)
    examples = REPOSITORY / "example_projects"
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, APPS, examples / "django_blog", examples / "flask_api"))),
        "DJANGO_SETTINGS_MODULE": "behind.settings",
        "DJANGO_DATABASE": str(folder / "blog.sqlite3"),
        "FLASK_DATABASE": str(folder / "notes.sqlite3"),
        "BEHIND_STATE": str(folder),
    }
    for command in (["migrate", "--verbosity=0"], ["createdemo"]):
        subprocess.run(
            [sys.executable, "-m", "django", *command],
            env={**os.environ, **environment},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    sockets = [part for way in WAYS for part in (OPTIONS[kind(way)], where(folder, way))]
    more = (
        "--chmod-socket=666",
        "--module",
        "behind.sites",
        "--processes",
        "2",
        "--threads",
        "2",
        "--limit-post",
        "60m",
        "--disable-logging",
        "--log-4xx",
    )
    with ServerProcess(*sockets, *more, environment=environment) as server:
        port = configure(folder, server)
        assert NGINX is not None
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: nginx.poll() is None and listens(port), what="nginx to listen")
            yield Front(folder, port, server)
        finally:
            nginx.terminate()
            nginx.wait(10)


def kind(way: str) -> str:
    return way.partition("-")[0]


def where(folder: Path, way: str) -> str:
    return "127.0.0.1:0" if way.endswith("tcp") else f"{folder}/{way}.sock"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.1.1", port)) == 0


def configure(folder: Path, server: ServerProcess) -> int:
    """Write nginx's configuration; its port. The server binds its addresses in the order of `SocketSettings`."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
    order = ("proxy-tcp", "uwsgi-tcp", "scgi-tcp", "fastcgi-tcp")
    ports = {way: address[1] for way, address in zip(order, server.addresses, strict=True)}
    servers = []
    for number, way in enumerate(WAYS, 1):
        names = {
            "way": way,
            "kind": kind(way),
            "number": number,
            "port": port,
            "address": f"127.0.0.1:{ports[way]}" if way.endswith("tcp") else f"unix:{folder}/{way}.sock",
            "kept": "fastcgi_keep_conn on;" if way == KEPT else "",
            "keeping": "keepalive 4;" if way == KEPT or kind(way) == "proxy" else "",
            "scheme": "http://" if kind(way) == "proxy" else "",
            "parameters": "" if kind(way) == "proxy" else f"include {STOCK}/{kind(way)}_params;",
            # nginx 1.22 announces a part of an upload as its length over SCGI (docs/protocols.md).
            "body": "on" if kind(way) == "scgi" else "off",
        }
        servers.append(SERVER.format(**names))
    user = "user root;" if os.getuid() == 0 else ""
    text = (BEGINNING + HTTP).format(folder=folder, servers="".join(servers), user=user)
    (folder / "nginx.conf").write_text(text)
    return port


# --- what people do ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_django(front: Front, way: str) -> None:
    """Sessions, a redirect to the login, forms with their tokens, the admin, and a post that everybody sees."""
    editor, visitor = front.browser(way, "django"), front.browser(way, "django")
    assert editor.get("/write/").url.endswith("/accounts/login/?next=/write/")
    page = editor.submit("/admin/login/?next=/admin/", username="demo", password="demo", next="/admin/")
    assert "Site administration" in page.text
    post = {"title": f"Über {way}", "slug": f"over-{way}", "body": "Täglich 100 %", "author": "1"}
    assert "was added successfully" in editor.submit("/admin/blog/post/add/", **post).text
    assert "Täglich 100 %" in visitor.get(f"/posts/over-{way}/").text
    assert "Posts read in this session: 2" in visitor.get(f"/posts/over-{way}/").text
    assert visitor.request("POST", "/write/", b"title=forged").status == 403


@pytest.mark.parametrize("way", WAYS)
def test_flask(front: Front, way: str) -> None:
    """The life of a note, and what is answered to mistakes."""
    browser = front.browser(way, "flask")
    assert browser.get("/health").json["status"] == "ok"
    created = browser.send_json("POST", "/notes/", {"title": "Milch – süß", "body": way})
    location = created.headers["Location"]
    assert (created.status, browser.get(location).json["title"]) == (201, "Milch – süß")
    assert browser.request("DELETE", location).status == 204
    assert browser.get(location).status == 404
    assert browser.request("POST", "/notes/", b"title=x").status == 415
    assert "GET" in browser.request("PATCH", "/notes/").headers["Allow"]


# --- large and slow ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_upload_of_50_mb(front: Front, way: str) -> None:
    """Through the Unix sockets stored by nginx first and read by Django, over TCP passed on as it comes, to Flask."""
    site, path = ("django", "/digest") if way.endswith("unix") else ("flask", "/unbuffered/digest")
    length = f"Content-Length: {LARGE}"
    block = random.Random(way).randbytes(1 << 20)
    expected = hashlib.sha256()
    with front.wire(way, site, path, length, method="POST") as wire:
        for number in range(LARGE >> 20):
            piece = block[number:] + block[:number]
            expected.update(piece)
            wire.send(piece)
        response = wire.read_response()
    assert response.body.decode() == f"{LARGE} {expected.hexdigest()}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("site", SITES)
def test_stream(front: Front, way: str, site: str) -> None:
    """The first block is at the client while the application has not made the second one."""
    with front.wire(way, site, f"/unbuffered/stream/go-{way}-{site}", "Connection: close") as wire:
        wire.receive_until(b"first\n")
        assert b"second\n" not in wire.buffer
        (front.folder / f"go-{way}-{site}").touch()
        response = wire.read_response()
    assert response.body == b"first\nsecond\n"


@pytest.mark.parametrize("way", WAYS)
def test_download_of_32_mb(front: Front, way: str) -> None:
    """A length that nobody knows before, buffered by nginx."""
    connection = HTTPConnection(*front.address(way, "flask"), timeout=30)
    connection.request("GET", f"/download/whole-{way}/512")
    assert len(connection.getresponse().read()) == 512 << 16
    connection.close()


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_clients_that_leave(front: Front) -> None:
    """In the middle of an upload and of a download: the same workers go on, with nothing left open or half done."""
    workers = front.server.worker_pids
    uploads = [way for way in WAYS if kind(way) != "scgi"]  # nginx keeps those over SCGI to itself
    for way in WAYS:
        assert front.browser(way, "flask").get("/health").status == 200
    sockets, others = front.descriptors()
    told = front.server.log.count(LEFT)
    for number in range(ABORTS):
        for way in uploads:
            with front.wire(way, "flask", "/unbuffered/digest", "Content-Length: 9000000", method="POST") as wire:
                wire.send(bytes(3_000_000))
        for way in WAYS:
            prefix = "/unbuffered" if number % 2 else ""
            with front.wire(way, "django", f"{prefix}/download/left-{way}-{number}/4000") as wire:
                wire.receive_until(bytes(range(256)))
    for way in WAYS:
        for number in range(ABORTS):
            wait_until((front.folder / f"left-{way}-{number}").exists, 30, what=f"the end of download {number} {way}")
    front.server.wait_for_log(LEFT, count=told + ABORTS * len(uploads), timeout=30)
    wait_until(lambda: front.descriptors()[1] <= others, what="files to be closed")
    wait_until(lambda: front.descriptors()[0] <= sockets + 4, what="connections to be closed")
    assert front.server.worker_pids == workers
    assert "Traceback" not in front.server.log
    for way in WAYS:
        assert front.browser(way, "django").get("/").status == 200


def test_reloads_under_load(front: Front) -> None:
    """Twice, with somebody asking both sites in every way all the time: each answer comes, and is right."""
    body = random.Random(1).randbytes(100_000)
    digest = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    right = {**dict.fromkeys(WAYS, digest), KEPT: bytes(range(256)) * 512}
    asked = dict.fromkeys(WAYS, 0)
    wrong: list[str] = []
    over = threading.Event()

    def ask(way: str) -> None:
        connections = {site: HTTPConnection(*front.address(way, site), timeout=30) for site in SITES}
        while not over.wait(0.02):
            for site, connection in connections.items():
                try:
                    if way == KEPT:
                        connection.request("GET", f"/download/{way}/2")
                    else:
                        connection.request("POST", "/unbuffered/digest" if asked[way] % 2 else "/digest", body)
                    response = connection.getresponse()
                    answer = response.status, response.read()
                except (OSError, HTTPException) as error:
                    wrong.append(f"{way} {site}: {error!r}")
                    connection.close()
                    continue
                asked[way] += 1
                if answer != (200, right[way]):
                    wrong.append(f"{way} {site}: {answer!r}")
        for connection in connections.values():
            connection.close()

    threads = [threading.Thread(target=ask, args=(way,)) for way in WAYS]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            reload(front.server)
            before = dict(asked)
            wait_until(lambda before=before: all(asked[way] > before[way] + 2 for way in WAYS) or wrong, 30)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    told = [line for line in (front.folder / "error.log").read_text().splitlines() if "[error]" in line]
    assert wrong == [], "\n".join((*told, front.server.log))
