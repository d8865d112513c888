"""Rules about requests and responses: uWSGI's internal routing."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Rules that look at a request and redirect, refuse, rewrite or answer it before the application is asked.

    The names of one option are one chain, in the order in which they are written; what they mean is in
    `config.routing`, and the chains are in `Settings.routes`.
    """

    route: tuple[str, ...] = option(
        (),
        *("route-host", "route-uri", "route-qs", "route-remote-addr", "route-user-agent", "route-remote-user"),
        *("route-referer", "route-if", "route-if-not", "route-run", "route-label"),
        distinct=True,
        help="REGEXP ACTION:ARGUMENT, or CONDITION:... ACTION:... (-if), ACTION:... (-run), a name for goto (-label): "
        "a rule about requests. All of them are one chain. Repeatable.",
    )
    error_route: tuple[str, ...] = option(
        (),
        *("error-route-status", "error-route-host", "error-route-uri", "error-route-qs", "error-route-remote-addr"),
        *("error-route-user-agent", "error-route-remote-user", "error-route-referer", "error-route-if"),
        *("error-route-if-not", "error-route-run", "error-route-label"),
        distinct=True,
        help="As route, when the response's status is 400 or more; -status takes CODE ACTION:... Repeatable.",
    )
    response_route: tuple[str, ...] = option(
        (),
        *("response-route-status", "response-route-host", "response-route-uri", "response-route-qs"),
        *("response-route-remote-addr", "response-route-user-agent", "response-route-remote-user"),
        *("response-route-referer", "response-route-if", "response-route-if-not", "response-route-run"),
        "response-route-label",
        distinct=True,
        help="As route, for the headers of every response, before they are sent. Repeatable.",
    )
    final_route: tuple[str, ...] = option(
        (),
        *("final-route-status", "final-route-host", "final-route-uri", "final-route-qs", "final-route-remote-addr"),
        *("final-route-user-agent", "final-route-remote-user", "final-route-referer", "final-route-if"),
        *("final-route-if-not", "final-route-run", "final-route-label"),
        distinct=True,
        help="As route, when the response is sent and before the request line is written. Repeatable.",
    )
