"""The executor's hands for gateways: forks them, signals them, buries them. Decides nothing.

Loaded only where a router is configured, or one of the former settings still runs.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.gateway.context import GatewayContext
from uwsgi_deploy.gateway.entry import run_gateway
from uwsgi_deploy.gateway.late import import_in_time
from uwsgi_deploy.logs.setup import drop_input, log
from uwsgi_deploy.master.actions import Action, KillGateway, StartGateway, TellGateway
from uwsgi_deploy.master.adoption import Adoption
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.gateway_sockets import GatewaySockets, identity_of_gateways
from uwsgi_deploy.master.gateways import KEEPSAKE, GatewayProcess, GatewaySlot, adopt_gateways, slots_of, to_rows
from uwsgi_deploy.master.milestones import Milestones
from uwsgi_deploy.master.observe import Exit, Observer
from uwsgi_deploy.master.policies.respawn import MOST_FAILED_STARTS, failures_after, pause_after
from uwsgi_deploy.master.reexecution import Reexecution
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.process import identity, prctl, titles
from uwsgi_deploy.process.capabilities import forget_ambient
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.fork import fork_child
from uwsgi_deploy.process.notify import Notifier, forget_manager

# New settings whose router ended unexpectedly this often in a row are given up.
MOST_FAILED_SUCCESSORS = 3


class GatewayKeeper:
    """Performs the actions of `policies.gateways` and writes what it did into the rows."""

    def __init__(self, resources: Resources, fleet: Fleet, observer: Observer) -> None:
        self._resources, self._fleet, self._observer = resources, fleet, observer
        fleet.gateways = slots_of(resources.settings)

    def steps(self) -> dict[type[Action], Callable[[Any, float], None]]:
        """What performs which action, at an instant."""
        return {
            StartGateway: lambda action, now: self._start(self._slot(action.kind, action.number), now),
            TellGateway: self._tell,
            KillGateway: self._kill,
        }

    def adopt(self, adoption: Adoption, reexecution: Reexecution) -> None:
        """Take over what a former image left, and see to it that the next one can."""
        adopt_gateways(self._fleet.gateways, adoption.keepsake(KEEPSAKE) or ())
        reexecution.keep(KEEPSAKE, lambda: (to_rows(self._fleet.gateways), ()))

    def _slot(self, kind: str, number: int) -> GatewaySlot:
        return next(slot for slot in self._fleet.gateways if (slot.kind, slot.number) == (kind, number))

    def _process(self, pid: int) -> GatewayProcess | None:
        return next((one for slot in self._fleet.gateways for one in slot.processes if one.pid == pid), None)

    # --- starting -----------------------------------------------------------------------------------------------------

    def _start(self, slot: GatewaySlot, now: float) -> None:
        waits, ready = os.pipe2(os.O_CLOEXEC)
        try:
            pid = fork_child(self._body(slot, ready, (waits, *self._private())))
        except OSError as error:
            log(f"*** cannot fork {slot.name}: {error.strerror}; trying again in a second ***")
            slot.not_before = now + 1.0
            os.close(waits)
            return
        finally:
            os.close(ready)
        process = GatewayProcess(pid, now, waits=waits)
        self._observer.watch(waits, partial(self._hear, slot, process))
        slot.processes.append(process)
        slot.spawned += 1
        log(f"{'spawned' if slot.spawned == 1 else 'respawned'} {slot.name} (pid: {pid})")

    def _private(self) -> tuple[int, ...]:
        """What a gateway has no business with: the master's own, and what only workers accept from."""
        resources = self._resources
        listeners = (*resources.listeners, *resources.leaving)
        descriptors = {
            *resources.private,
            *resources.scoreboard.private,
            *self._observer.descriptors(),
            *(listener.socket.fileno() for listener in listeners if listener.socket.fileno() >= 0),
        }
        return tuple(descriptors.difference(() if resources.gateway is None else resources.gateway.descriptors))

    def _body(self, slot: GatewaySlot, ready: int, private: tuple[int, ...]) -> Callable[[], int]:
        resources = self._resources
        settings, sockets = resources.settings, resources.gateway
        assert sockets is not None  # else there would be no slot
        listeners, stats = sockets.of(slot.kind)
        is_http = slot.kind == "http"
        context = GatewayContext(
            settings,
            slot.number,
            listeners,
            local=sockets.local if is_http else None,
            alone=settings.gateway.http_processes == 1 and len(resources.listeners) == 1,
            servers=sockets.servers if is_http else (),
            stats=stats if slot.number == 1 else None,
            ready=ready,
            master_pid=os.getpid(),
            kind=slot.kind,
        )
        gc.collect()
        gc.freeze()  # what the master has is garbage to nobody: gateways share it

        def body() -> int:
            for descriptor in private:
                os.close(descriptor)
            if settings.daemons.daemons_honour_stdin:
                drop_input()  # the master keeps its own for them
            return live_as_gateway(context)

        return body

    def _hear(self, slot: GatewaySlot, process: GatewayProcess) -> tuple[()]:
        """A gateway says that it accepts, or closes the pipe because it ends."""
        said = os.read(process.waits, 1)
        self._forget(process)
        if said:
            process.ready = slot.served = True
        return ()

    def _forget(self, process: GatewayProcess) -> None:
        if process.waits >= 0:
            self._observer.unwatch(process.waits)
            os.close(process.waits)
            process.waits = -1

    # --- ending -------------------------------------------------------------------------------------------------------

    def _tell(self, action: TellGateway, now: float) -> None:
        process = self._process(action.pid)
        if process is not None:
            process.told = action.signal
            process.deadline = None if action.grace is None else now + action.grace
            self.signal(process, action.signal)

    def _kill(self, action: KillGateway, _now: float) -> None:
        process = self._process(action.pid)
        if process is None:
            return
        if process.told != signal.SIGQUIT:
            log(f"gateway (pid: {process.pid}) is taking too much time to die...NO MERCY !!!")
        process.deadline = None
        self.signal(process, signal.SIGKILL)

    def remind(self, numbers: tuple[int, ...]) -> None:
        """Send all gateways these signals: the log may be another file, or the server says goodbye."""
        for slot in self._fleet.gateways:
            for process in slot.staying if slot.is_ready else ():
                for number in numbers:
                    self.signal(process, number)

    def signal(self, process: GatewayProcess, number: int) -> None:
        """Send a signal to a process that may have ended."""
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass  # its exit is about to be seen
        except PermissionError:
            log(f"*** WARNING: may not send {signal.Signals(number).name} to process {process.pid} ***")

    def bury(self, ended: Exit, now: float) -> bool:
        """A child ended; False if it was no gateway."""
        slot = next((one for one in self._fleet.gateways if any(p.pid == ended.pid for p in one.processes)), None)
        if slot is None:
            return False
        process = next(one for one in slot.processes if one.pid == ended.pid)
        self._forget(process)
        slot.processes.remove(process)
        if not slot.wanted and not slot.processes:
            self._fleet.gateways.remove(slot)
        if process.told or self._fleet.stop is not None:
            log(f"{slot.name} (pid: {process.pid}) buried")
            return True
        self._note_failure(slot, process, ended, now)
        return True

    def _note_failure(self, slot: GatewaySlot, process: GatewayProcess, ended: Exit, now: float) -> None:
        """It ended unasked: the next one may have to wait a little, and new settings may be wrong."""
        fleet, served = self._fleet, process.ready
        killed = ended.signal == signal.SIGKILL
        slot.failures = failures_after(slot.failures, now - process.born, served=served, killed=killed)
        slot.not_before = now + pause_after(slot.failures, served=served, killed=killed)
        name = slot.name
        has_harakiri = any(one.harakiri for one in self._resources.settings.routers if one.kind == slot.kind)
        if ended.signal == signal.SIGALRM and has_harakiri:
            log(f"*** HARAKIRI ON GATEWAY {name} (pid: {process.pid}) ***")
        elif ended.signal or ended.code:
            log(f"DAMN ! {name} (pid: {process.pid}) died, {ended.describe()} :( trying respawn ...")
        else:
            log(f"{name} (pid: {process.pid}) ended without being asked by the master, trying respawn ...")
        if fleet.exchanges_gateways and slot.failures >= MOST_FAILED_SUCCESSORS and not process.is_old:
            assert fleet.reload is not None
            fleet.reload.failure = fleet.reload.failure or f"{name} of the new settings ends at once"
        elif slot.failures == MOST_FAILED_STARTS:
            verdict = f"{name} ended {MOST_FAILED_STARTS} times in a row soon after its birth, {ended.describe()}"
            if fleet.booted:
                log(f"*** {verdict}: trying again and again ***")
            else:
                fleet.begin_stop(now, error=ServerError(f"{verdict}: the server cannot start"))


def _become_user(context: GatewayContext) -> None:
    """The user of gateways, who may not be able to read the code: what they load later is loaded before."""
    who = identity_of_gateways(context.settings, context.kind)
    if who.uid and not os.geteuid():
        import_in_time(context.settings)
    for line in identity.assume(who):
        log(line)


def live_as_gateway(context: GatewayContext) -> int:
    """From the fork to the exit of a gateway."""
    settings = context.settings
    try:
        _become_user(context)
    except ServerError as error:
        log(str(error))
        return ExitCode.FAILED
    if settings.identity.cap:
        forget_ambient()
    # After the change of user, which clears it.
    if settings.workers.no_orphans:
        prctl.set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != context.master_pid:
        return ExitCode.FAILED  # the master died before the line above could notice
    titles.set_title(settings.identity, context.name)
    forget_manager(os.environ)
    return run_gateway(context)


def route_alone(settings: Settings, sockets: GatewaySockets, notifier: Notifier | None, milestones: Milestones) -> int:
    """Without a master this process is the router, and the only one (force-gateway)."""
    (router,) = settings.routers
    listeners, stats = sockets.of(router.kind)
    context = GatewayContext(settings, 1, listeners, servers=sockets.servers, stats=stats, kind=router.kind)
    try:
        _become_user(context)
        titles.set_title(settings.identity, context.name)
        milestones.loaded()
        log(f"spawned {context.name} (and the only) (pid: {os.getpid()})")
        milestones.ready()
        if notifier is not None:
            notifier.send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={context.name} serves, without a master")
        forget_manager(os.environ)
        code = run_gateway(context)
    except KeyboardInterrupt:
        code = ExitCode.OK  # told to end before it served
    if notifier is not None:
        notifier.send("STOPPING=1")
    log("goodbye to uWSGI.")
    return code
