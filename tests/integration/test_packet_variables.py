"""UWSGI_* variables of packets: obeyed for who is allowed, dropped for others, and no code without a second switch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.wire import Wire, nginx_variables, packet
from tests.support.nginx import needs_nginx, nginx_with
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

APPLICATION = """
import json, os, sys, time

def make(name):
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/late":
            time.sleep(60)
        body = environ["wsgi.input"].read()
        said = {
            "name": name,
            "pid": os.getpid(),
            "cwd": os.getcwd(),
            "body": len(body),
            "length": environ.get("CONTENT_LENGTH"),
            "set": os.environ.get("FROM_PACKET"),
            "also": os.environ.get("ALSO"),
            "seen": sorted(key for key in environ if key.startswith("UWSGI_")),
            "scheme": environ["wsgi.url_scheme"],
            "root": environ["DOCUMENT_ROOT"],
            "venv": any(entry.endswith("/site-packages") and "/venv/" in entry for entry in sys.path),
        }
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(said).encode()]
    return application

application = make("file")
shop = make("shop")
site = make("site")
"""


class Site(NamedTuple):
    """A server whose Unix socket is allowed, and whose TCP socket is not."""

    process: ServerProcess
    folder: Path

    @property
    def allowed(self) -> str:
        return str(self.folder / "web.sock")

    @property
    def stranger(self) -> tuple[str, int]:
        return self.process.addresses[0]

    def says(self, variables: dict[str, str], *, address: Any = None, body: bytes = b"") -> Any:
        """What the application saw, or the status that was the answer."""
        with Wire(address or self.allowed) as wire:
            wire.send(packet({**nginx_variables("/x"), **variables}) + body)
            head, _, text = wire.read_to_end().partition(b"\r\n\r\n")
        return json.loads(text) if head.startswith(b"HTTP/1.1 200 ") else int(head.split()[1])


def site_in(folder: Path, *options: str) -> ServerProcess:
    (folder / "several.py").write_text(APPLICATION)
    (folder / "status.py").write_text(APPLICATION)
    (folder / "broken.py").write_text("import nothing_like_this\n")
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "inner.py").write_text(APPLICATION + f"application = make('inner {name}')\n")
    sockets = ("--socket", str(folder / "web.sock"), "--socket", "127.0.0.1:0")
    return ServerProcess(*sockets, "--uwsgi-allow-from", "unix", *options, directory=folder)


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Applications are loaded on demand; there is none at first."""
    folder = tmp_path_factory.mktemp("loading")
    with site_in(folder, "--dynamic-apps", "--limit-post", "100000") as process:
        yield Site(process, folder)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Several mounted applications, and nothing is loaded."""
    folder = tmp_path_factory.mktemp("fixed")
    with site_in(
        folder, "--module=several:site", "--mount", "/shop=several:shop", "--threads=2", "--harakiri=3"
    ) as process:
        yield Site(process, folder)


# --- dynamic-apps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "variables", "name"),
    [
        ("/script", {"UWSGI_SCRIPT": "several:shop"}, "shop"),
        ("/module", {"UWSGI_MODULE": "several", "UWSGI_CALLABLE": "site"}, "site"),
        ("/default", {"UWSGI_MODULE": "several"}, "file"),
        ("/file", {"UWSGI_FILE": "status.py", "UWSGI_CALLABLE": "shop"}, "shop"),
    ],
)
def test_what_is_named_is_loaded_once(loading: Site, key: str, variables: dict[str, str], name: str) -> None:
    for _ in range(2):
        assert loading.says({"SCRIPT_NAME": key, **variables})["name"] == name
    # As in uWSGI: once it is loaded the key alone decides.
    assert loading.says({"UWSGI_APPID": key, "UWSGI_SCRIPT": "several:site"})["name"] == name
    loading.process.wait_for_log(rf"^WSGI app \d+ \(mountpoint='{key}'\) ready in ")
    assert loading.process.log.count(f"(mountpoint='{key}')") == 1


def test_strangers_are_not_obeyed(loading: Site) -> None:
    """Their variables are dropped, which is said once, and there is no application."""
    everything = {"UWSGI_FILE": "status.py", "UWSGI_SETENV": "FROM_PACKET=evil", "UWSGI_POSTFILE": "/etc/passwd"}
    for _ in range(2):
        assert loading.says(everything, address=loading.stranger) == 500
    for name in everything:
        loading.process.wait_for_log(rf"^{name} in a uwsgi packet is ignored: uwsgi-allow-from does not name who sent")
        assert loading.process.log.count(f"{name} in a uwsgi packet") == 1
    assert loading.says({"SCRIPT_NAME": "/env", "UWSGI_SCRIPT": "several:site"})["set"] != "evil"


def test_directory_of_an_application(loading: Site) -> None:
    """It is entered for the application's own requests, and its modules are found."""
    one = {"UWSGI_CHDIR": str(loading.folder / "one"), "UWSGI_SCRIPT": "inner", "SCRIPT_NAME": "/one"}
    assert loading.says(one)["cwd"] == str(loading.folder / "one")
    other = {"UWSGI_SCRIPT": "several:site", "SCRIPT_NAME": "/elsewhere"}
    assert loading.says(other)["cwd"] == str(loading.folder)
    seen = loading.says(one)
    assert (seen["name"], seen["cwd"]) == ("inner one", str(loading.folder / "one"))
    # There is one interpreter, and one module of a name: the other directory's must not be taken for it.
    two = {"UWSGI_CHDIR": str(loading.folder / "two"), "UWSGI_SCRIPT": "inner", "SCRIPT_NAME": "/two"}
    assert loading.says(two) == 500
    loading.process.wait_for_log(r"module inner is .*/one/inner\.py already, not .*/two/inner\.py")
    by_file = {"UWSGI_CHDIR": str(loading.folder / "two"), "UWSGI_FILE": "inner.py", "SCRIPT_NAME": "/two"}
    assert loading.says(by_file)["name"] == "inner two"
    assert loading.says({"UWSGI_CHDIR": "/nowhere", "UWSGI_SCRIPT": "inner", "SCRIPT_NAME": "/no"}) == 500


def test_environment(loading: Site) -> None:
    """Several of them in one packet, as nginx sends several uwsgi_param of a name; they stay."""
    variables = {**nginx_variables("/x"), "UWSGI_SCRIPT": "several:site", "SCRIPT_NAME": "/environment"}
    block = packet({**variables, "UWSGI_SETENV": "FROM_PACKET=a=b"})[4:] + packet({"UWSGI_SETENV": "ALSO=c"})[4:]
    with Wire(loading.allowed) as wire:
        wire.send(bytes((0, len(block) & 255, len(block) >> 8, 0)) + block)
        seen = json.loads(wire.read_to_end().partition(b"\r\n\r\n")[2])
    assert (seen["set"], seen["also"]) == ("a=b", "c")
    assert loading.says({"SCRIPT_NAME": "/environment", "UWSGI_SCRIPT": "several:site"})["set"] == "a=b"
    assert loading.says({"UWSGI_SETENV": "nonsense"}) == 400


def test_virtual_environment(loading: Site) -> None:
    packages = loading.folder / "venv" / "lib" / Path(os.__file__).parent.name / "site-packages"
    packages.mkdir(parents=True)
    (packages / "from_venv.py").write_text(APPLICATION)
    home = {"UWSGI_PYHOME": str(loading.folder / "venv"), "UWSGI_SCRIPT": "from_venv:shop", "SCRIPT_NAME": "/venv"}
    assert loading.says(home)["venv"]
    assert loading.says({**home, "UWSGI_PYHOME": "/nowhere", "SCRIPT_NAME": "/venv2"}) == 500


@pytest.mark.parametrize(
    ("variables", "status", "says"),
    [
        ({"UWSGI_FILE": "http://127.0.0.1/x.py"}, 403, "UWSGI_FILE has a URL"),
        ({"UWSGI_FILE": "exec://id"}, 403, "UWSGI_FILE has a URL"),
        ({"UWSGI_FILE": "status.py", "UWSGI_MODULE": "several"}, 400, "both name an application"),
        ({"UWSGI_MODULE": "broken"}, 500, "it imports 'nothing_like_this'"),
        ({"UWSGI_FILE": "missing.py"}, 500, "there is no file"),
        ({"UWSGI_SCRIPT": "several:__import__('os')"}, 500, 'unable to find "__import__" callable'),
        ({"UWSGI_SCRIPT": "several:[x for x in ()]"}, 500, "neither a name nor a call with literal arguments"),
    ],
)
def test_what_cannot_be_loaded(loading: Site, variables: dict[str, str], status: int, says: str) -> None:
    assert loading.says({"SCRIPT_NAME": "/bad", **variables}) == status
    loading.process.wait_for_log(says)
    assert loading.says({"SCRIPT_NAME": "/good", "UWSGI_SCRIPT": "several:shop"})["name"] == "shop"


def test_touch_reload(loading: Site) -> None:
    """The worker that loaded the application goes when the file has changed, and this request is still served."""
    watched = loading.folder / "watched"
    watched.touch()
    variables = {"SCRIPT_NAME": "/touched", "UWSGI_SCRIPT": "several:shop", "UWSGI_TOUCH_RELOAD": str(watched)}
    before = loading.says(variables)["pid"]
    assert loading.says(variables)["pid"] == before
    os.utime(watched, (1, 1))
    assert loading.says(variables)["pid"] == before
    loading.process.wait_for_log(r"is done \(.*/watched was touched \(UWSGI_TOUCH_RELOAD\)\)")
    # It serves until its successor does.
    wait_until(lambda: loading.says(variables)["pid"] != before, 20, what="the worker to be replaced")


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_body_in_a_file(fixed: Site) -> None:
    (fixed.folder / "upload").write_bytes(b"x" * 70000)
    seen = fixed.says({"UWSGI_POSTFILE": str(fixed.folder / "upload"), "CONTENT_LENGTH": "70000"})
    assert (seen["body"], seen["length"]) == (70000, "70000")
    sent, stored = b"y" * 10, {"UWSGI_POSTFILE": str(fixed.folder / "upload"), "CONTENT_LENGTH": "10"}
    assert fixed.says(stored, body=sent)["body"] == 70000  # a web server that sends it all the same
    assert fixed.says(stored, body=sent, address=fixed.stranger)["body"] == 10


def test_body_files_that_are_none(fixed: Site, loading: Site) -> None:
    os.mkfifo(fixed.folder / "pipe")
    assert fixed.says({"UWSGI_POSTFILE": str(fixed.folder / "pipe")}) == 403
    assert fixed.says({"UWSGI_POSTFILE": str(fixed.folder / "missing")}) == 500
    fixed.process.wait_for_log(r"UWSGI_POSTFILE .*/missing: No such file or directory: GET '/x' \(500\)")
    (loading.folder / "large").write_bytes(bytes(100001))
    large = {"UWSGI_POSTFILE": str(loading.folder / "large"), "UWSGI_SCRIPT": "several:site", "SCRIPT_NAME": "/post"}
    assert loading.says(large) == 413


BODY_IN_FILE = """
        location / {{
            client_body_in_file_only clean;
            uwsgi_pass_request_body off;
            uwsgi_pass unix:{socket};
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param UWSGI_POSTFILE $request_body_file;
        }}
"""


@needs_nginx
def test_body_that_nginx_stores(fixed: Site, tmp_path: Path) -> None:
    with nginx_with(tmp_path, BODY_IN_FILE.format(socket=fixed.allowed)) as nginx, Wire(nginx) as wire:
        wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + bytes(300000))
        seen = json.loads(wire.read_response().body)
    assert (seen["body"], seen["length"]) == (300000, "300000")


# --- without dynamic-apps ---------------------------------------------------------------------------------------------


def test_application_by_its_key(fixed: Site) -> None:
    assert fixed.says({"UWSGI_APPID": "/shop"})["name"] == "shop"
    assert fixed.says({"UWSGI_APPID": "/shop", "SCRIPT_NAME": "/other"})["name"] == "shop"
    assert fixed.says({"UWSGI_APPID": "", "SCRIPT_NAME": "/shop"})["name"] == "site"
    assert fixed.says({"UWSGI_APPID": "/unknown"})["name"] == "site"
    assert fixed.says({"UWSGI_APPID": "/shop"}, address=fixed.stranger)["name"] == "site"


def test_code_is_refused(fixed: Site) -> None:
    assert fixed.says({"SCRIPT_NAME": "/new", "UWSGI_FILE": "status.py"}) == 403
    fixed.process.wait_for_log(r"^UWSGI_FILE asks for code to be loaded, which needs dynamic-apps: GET '/x' \(403\)$")
    assert fixed.says({"UWSGI_SETENV": "FROM_PACKET=evil"}) == 403
    # What is mounted needs no loading: nginx configurations often repeat what the server was told.
    seen = fixed.says({"SCRIPT_NAME": "/shop", "UWSGI_SCRIPT": "several:shop", "UWSGI_CHDIR": "/"})
    assert (seen["name"], seen["cwd"], seen["set"]) == ("shop", str(fixed.folder), None)
    assert fixed.says({"SCRIPT_NAME": "/new", "UWSGI_FILE": "status.py"}, address=fixed.stranger)["name"] == "site"


def test_late_request(fixed: Site) -> None:
    """It is interrupted at its deadline, and its worker lives on."""
    before = fixed.says({})["pid"]
    assert fixed.says({"PATH_INFO": "/late", "UWSGI_APPID": ""}) == 504
    assert fixed.says({})["pid"] == before


def test_variables_that_only_inform(fixed: Site) -> None:
    """Believed as HTTPS and REMOTE_ADDR are, or passed on; those that are obeyed are visible, too."""
    plain = {"UWSGI_SCHEME": "https", "DOCUMENT_ROOT": "/srv/www", "UWSGI_ROUTER": "http"}
    seen = fixed.says({**plain, "UWSGI_CACHE_GET": "x", "UWSGI_APPID": "/shop", "HTTP_PROXY": "evil"})
    assert (seen["scheme"], seen["root"]) == ("https", "/srv/www")
    assert seen["seen"] == ["UWSGI_APPID", "UWSGI_CACHE_GET", "UWSGI_ROUTER", "UWSGI_SCHEME"]
    stranger = fixed.says({**plain, "UWSGI_CACHE_GET": "x", "UWSGI_APPID": "/shop"}, address=fixed.stranger)
    assert stranger["seen"] == ["UWSGI_ROUTER", "UWSGI_SCHEME"]


def test_directories_need_a_core_of_their_own(tmp_path: Path) -> None:
    with site_in(tmp_path, "--dynamic-apps", "--module=several:site", "--threads=2", "--master=false") as process:
        site = Site(process, tmp_path)
        assert site.says({"SCRIPT_NAME": "/new", "UWSGI_FILE": "status.py"})["name"] == "file"
        assert site.says({"SCRIPT_NAME": "/dir", "UWSGI_FILE": "status.py", "UWSGI_CHDIR": "/"}) == 403
        process.wait_for_log("UWSGI_CHDIR needs workers with one core")
