"""Several applications in one server: over HTTP and uwsgi, their lines in the log, and starts that fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.wire import Wire, nginx_variables, packet, request
from tests.support.engines import each_engine
from tests.support.nginx import needs_nginx, nginx_with
from tests.support.server import ServerProcess

APPLICATION = """
def make(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name} [{environ['SCRIPT_NAME']}] [{environ['PATH_INFO']}]".encode()]
    return application

application = make("file")
shop = make("shop")
site = make("site")
"""
SOCKETS = ("--http-socket", "127.0.0.1:0", "--socket", "127.0.0.1:0")
MOUNTS = ("--mount", "/shop=several:shop", "--mount", "/deep/er=status.py", "--mount", "/made=several:make('made')")


@contextmanager
def server(folder: Path, *options: str, wait: bool = True) -> Iterator[ServerProcess]:
    (folder / "several.py").write_text(APPLICATION)
    (folder / "status.py").write_text(APPLICATION)
    (folder / "broken.py").write_text("import nothing_like_this\n")
    with ServerProcess(*SOCKETS, *options, directory=folder, wait=wait) as process:
        yield process


def over_http(process: ServerProcess, path: str) -> str:
    with Wire(process.addresses[0]) as wire:
        wire.send(request(path))
        answer = wire.read_response()
    return answer.body.decode() if answer.status == 200 else str(answer.status)


def over_uwsgi(process: ServerProcess, path: str, *, modifier1: int = 0, **variables: str) -> str:
    with Wire(process.addresses[1]) as wire:
        wire.send(packet(nginx_variables(path, **variables), modifier1=modifier1))
        return wire.read_to_end().partition(b"\r\n\r\n")[2].decode()


@each_engine
def test_the_path_chooses(engine: tuple[str, ...], tmp_path: Path) -> None:
    with server(tmp_path, "--module=several:site", *MOUNTS, "--manage-script-name", *engine) as process:
        assert over_http(process, "/shop/cart?x=1") == "shop [/shop] [/cart]"
        assert over_http(process, "/shop") == "shop [/shop] []"
        assert over_http(process, "/deep/er/") == "file [/deep/er] [/]"
        assert over_http(process, "/made/x") == "made [/made] [/x]"
        assert over_http(process, "/shopping") == "site [] [/shopping]"
        assert over_uwsgi(process, "/shop/cart") == "shop [/shop] [/cart]"
        assert over_uwsgi(process, "/shop/cart", SCRIPT_NAME="/shop") == "shop [/shop] [/cart]"
        assert over_uwsgi(process, "/shop/cart", SCRIPT_NAME="/shop", modifier1=30) == "shop [/shop] [/cart]"
        process.wait_for_log(r"^mounting several:shop on /shop$")
        process.wait_for_log(r"^WSGI app 0 \(mountpoint=''\) ready in \d+ seconds .* \(default app\)$")
        process.wait_for_log(r"^WSGI app 2 \(mountpoint='/deep/er'\) ready in \d+ seconds .* pid: \d+$")
        for number, path in ((1, r"/shop/cart\?x=1"), (2, "/deep/er/"), (3, "/made/x"), (0, "/shopping")):
            process.wait_for_log(rf"\|app: {number}\|req: .* GET {path} => ")


def test_script_name_chooses(tmp_path: Path) -> None:
    with server(tmp_path, "--module=several:site", *MOUNTS) as process:
        assert over_uwsgi(process, "/cart", SCRIPT_NAME="/shop") == "shop [/shop] [/cart]"
        assert over_uwsgi(process, "/shop/cart", SCRIPT_NAME="/shop", modifier1=30) == "shop [/shop] [/cart]"
        assert over_uwsgi(process, "/shop/cart") == "site [] [/shop/cart]"
        assert over_http(process, "/shop/cart") == "site [] [/shop/cart]"
        process.wait_for_log("without 'manage-script-name' mounts are chosen by SCRIPT_NAME")


LOCATION = """
        location {path}/ {{
            uwsgi_pass {uwsgi};
            {modifier}
            uwsgi_param SCRIPT_NAME {path};
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
        }}
"""


@needs_nginx
@pytest.mark.parametrize("options", [("--manage-script-name",), ()], ids=["manage-script-name", "modifier 30"])
def test_script_name_of_nginx(options: tuple[str, ...], tmp_path: Path) -> None:
    """Both ways of nginx's manuals: the server cuts the path, or is told to by the modifier."""
    modifier = "" if options else "uwsgi_modifier1 30;"
    with server(tmp_path, "--module=several:site", *MOUNTS, *options) as process:
        uwsgi = "{}:{}".format(*process.addresses[1])
        paths = ("/shop", "/deep/er", "/else")
        locations = "".join(LOCATION.format(path=path, uwsgi=uwsgi, modifier=modifier) for path in paths)
        with nginx_with(tmp_path, locations) as nginx:
            answers = {}
            for path in paths:
                with Wire(nginx) as wire:
                    wire.send(request(f"{path}/cart%20x"))
                    answers[path] = wire.read_response().body.decode()
    assert answers["/shop"] == "shop [/shop] [/cart x]"
    assert answers["/deep/er"] == "file [/deep/er] [/cart x]"
    assert answers["/else"] == ("site [/else] [/else/cart x]" if options else "site [/else] [/cart x]")


def test_variables_never_choose_code(tmp_path: Path) -> None:
    with server(tmp_path, "--module=several:site", *MOUNTS) as process:
        loading = {"UWSGI_SCRIPT": "several:shop", "UWSGI_FILE": "status.py", "UWSGI_APPID": "/shop"}
        assert over_uwsgi(process, "/x", **loading) == "site [] [/x]"


def test_the_first_one_serves_the_rest(tmp_path: Path) -> None:
    with server(tmp_path, *MOUNTS, "--manage-script-name", "--lazy-apps", "--master=false") as process:
        assert over_http(process, "/x") == "shop [] [/x]"
        process.wait_for_log(r"^WSGI app 0 \(mountpoint='/shop'\) ready .* \(default app\)$")


def test_no_default_app(tmp_path: Path) -> None:
    with server(tmp_path, *MOUNTS, "--manage-script-name", "--no-default-app") as process:
        assert over_http(process, "/x") == "500"
        assert over_http(process, "/shop/x") == "shop [/shop] [/x]"
        process.wait_for_log(r"\|app: -1\|req: .* GET /x => ")


@pytest.mark.parametrize(
    ("mount", "code", "says"),
    [
        ("/b=broken:app", 22, "cannot load module broken: it imports 'nothing_like_this'"),
        ("/b=broken.py", 22, "cannot load file broken.py: it imports 'nothing_like_this'"),
        ("/b=missing.py", 1, "there is no file"),
        ("/b=several:nothing", 1, 'unable to find "nothing" callable in module several'),
        ("b=several:shop", 1, "'mount' needs /path=application"),
    ],
)
def test_a_mount_that_cannot_be_loaded_stops_the_start(mount: str, code: int, says: str, tmp_path: Path) -> None:
    with server(tmp_path, "--module=several:site", "--mount", mount, wait=False) as process:
        assert process.wait_end() == code
        assert says in process.log


def test_without_need_app_the_others_are_served(tmp_path: Path) -> None:
    options = ("--mount", "/b=broken:app", "--manage-script-name", "--need-app=false")
    with server(tmp_path, "--module=several:site", *options) as process:
        assert over_http(process, "/b") == "500"
        assert over_http(process, "/x") == "site [] [/x]"
        assert "cannot load module broken" in process.log
