"""Rules in a project's settings."""

from __future__ import annotations

from tests.django_integration.conftest import Project
from tests.support.server import ServerProcess


def test_rules_of_the_settings(project: Project) -> None:
    """Their names in any spelling; those of the command line come behind them."""
    project.configure(
        """
        UWSGI = {
            "route": ["^/health$ donotlog:", "^/health$ return:200 OK", "^/old/(.*) redirect:/new/$1"],
            "route_host": r"^www\\.(.*) redirect-permanent:https://$1${REQUEST_URI}",
            "route-run": "addheader:X-Rules: settings",
        }
        """
    )
    with ServerProcess("127.0.0.1:0", "--route", "^/new break:410", launcher=project.manage) as server:
        assert server.get("/health").status == 200
        assert server.get("/old/x").header("Location") == "/new/x"
        assert server.get("/new/x").status == 410
        with server.connect() as client:
            client.send(b"GET /a HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
            assert client.receive().header("Location") == "https://example.org/a"
        response = server.get("/")
        assert (response.status, response.header("X-Rules")) == (200, "settings")
        server.wait_for_log("GET / => ")
        assert "GET /health" not in server.log
