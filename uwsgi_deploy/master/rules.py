"""All policies, in the order in which the master asks them.

One that depends on what another one brings about comes after it: when nothing else happens there is no further round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from uwsgi_deploy.master.actions import Action
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.policies.cheaper import cheaper, dismiss_cheap
from uwsgi_deploy.master.policies.daemons import daemons
from uwsgi_deploy.master.policies.harakiri import harakiri
from uwsgi_deploy.master.policies.idle import die_on_no_workers, idle, watch_clients
from uwsgi_deploy.master.policies.lifetime import lifetime
from uwsgi_deploy.master.policies.memory import memory
from uwsgi_deploy.master.policies.reload import reload, retire_templates
from uwsgi_deploy.master.policies.respawn import respawn
from uwsgi_deploy.master.policies.stop import farewell, mercy, stop
from uwsgi_deploy.master.policies.succession import succession

Policy = Callable[[Fleet, float], Iterator[Action]]
POLICIES: tuple[Policy, ...] = (
    idle,
    die_on_no_workers,
    farewell,
    stop,
    mercy,
    harakiri,
    lifetime,
    memory,
    cheaper,
    dismiss_cheap,
    watch_clients,
    respawn,
    reload,
    retire_templates,
    succession,
    daemons,
)
