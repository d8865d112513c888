"""Internal routing as a worker has it: rules in front of the application, and the class of its responses.

Made once, before workers are forked. Loaded only where rules are set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from uwsgi_deploy.config.routing import Chain as WrittenChain
from uwsgi_deploy.config.routing import chains_of
from uwsgi_deploy.config.routing_actions import HEADER_ACTIONS, Family
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.record import ROUTED
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.wsgi.lifecycle import Application
from uwsgi_deploy.wsgi.response import Response
from uwsgi_deploy.wsgi.routing.actions import act_of
from uwsgi_deploy.wsgi.routing.answers import sent
from uwsgi_deploy.wsgi.routing.chain import Chain
from uwsgi_deploy.wsgi.routing.conditions import step_of
from uwsgi_deploy.wsgi.routing.response import class_of
from uwsgi_deploy.wsgi.routing.text import Surroundings


@dataclass(frozen=True, slots=True)
class Routing:
    """The chains of a server. response: what its responses are made of."""

    requests: Chain | None
    response: type[Response]
    surroundings: Surroundings

    def in_front_of(self, application: Application, wid: int) -> Application:
        """The application with the rules about requests before it, in worker number `wid`."""
        self.surroundings.wid = wid
        return application if self.requests is None else Front(self.requests, application)


class Front:
    """The rules about requests, as a WSGI application around another."""

    def __init__(self, chain: Chain, application: Application) -> None:
        self._run, self._application = chain.run, application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer as a rule says, or let the application do so."""
        answer = self._run(environ)
        if answer is None:
            return self._application(environ, start_response)
        environ[ROUTED] = True
        return answer(environ, start_response)


def routing_of(settings: Settings, limit: Callable[[float], object], log: Callable[[str], None]) -> Routing:
    """The rules of the settings as functions. limit: see `text.Surroundings`. Raises ConfigError."""
    around = Surroundings(log, limit, settings.static.mime_file, settings.static.static_safe)
    written = chains_of(settings.routes)
    made = {family: _chain(chain, around) for family, chain in written.items()}
    requests, errors, responses, finals = (made.get(family) for family in Family)
    changes_heads = any(
        rule.action in HEADER_ACTIONS for rule in (written[Family.REQUEST].rules if requests is not None else ())
    )
    plain = not (errors or responses or finals or changes_heads)
    return Routing(requests, Response if plain else class_of(errors, responses, finals, log), around)


def _chain(written: WrittenChain, around: Surroundings) -> Chain | None:
    steps = [step_of(rule, act_of(number, written, around), around) for number, rule in enumerate(written.rules)]
    return Chain(steps, sent) if steps else None
