"""The master's hands: the only file of `master/` that forks, kills and closes. Performs actions, decides nothing.

What an action changes in the table is written here, at the moment it happens.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.logs.setup import drop_input, log
from uwsgi_deploy.master.actions import (
    Action,
    AskForStacks,
    AwaitSiblings,
    ChainVictim,
    CheckConfiguration,
    CloseListeners,
    Dismiss,
    EndServer,
    Execute,
    FinishReload,
    GiveUpReload,
    Isolate,
    Kill,
    KillChecker,
    KillTemplate,
    Nudge,
    OrderWorker,
    PutOffHarakiri,
    Recycle,
    Remind,
    ReplaceMaster,
    Spare,
    StartTemplate,
    StopTemplate,
    WakeAt,
    Warn,
)
from uwsgi_deploy.master.daemon_keeper import DaemonKeeper
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.intake import autoreload
from uwsgi_deploy.master.intake.entrances import KEEPSAKE as ENTRANCES
from uwsgi_deploy.master.intake.entrances import Entrance, to_rows
from uwsgi_deploy.master.observe import Observer
from uwsgi_deploy.master.policies.stop import IMMEDIATE_GRACE
from uwsgi_deploy.master.reexecution import Reexecution
from uwsgi_deploy.master.reload_rows import ReloadKind
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.master.rows import Checker, Template
from uwsgi_deploy.master.sizing import Sizing
from uwsgi_deploy.net.listener import close_listeners, refuse_newcomers
from uwsgi_deploy.process.fork import fork_child
from uwsgi_deploy.process.pages import forget_mapped_files
from uwsgi_deploy.types import Protocol
from uwsgi_deploy.worker import channel
from uwsgi_deploy.worker.channel import ReopenLog, SpawnWorker
from uwsgi_deploy.worker.template import TemplateContext, run_template
from uwsgi_deploy.worker.worker import FAREWELL, REMINDER

if TYPE_CHECKING:
    from uwsgi_deploy.master.gateway_keeper import GatewayKeeper

__all__ = ["Executor", "Resources"]

# How long a template may take to fork the worker that was ordered.
TEMPLATE_GRACE = 2.0
# How long a child may take to read the configuration: with a framework it checks the project, and may ask a database.
CHECK_TIME = 120.0
# What may have changed the reload: the policies have to look once more, though nothing else may happen for long.
LEAD_TO_MORE = frozenset({CheckConfiguration, ReplaceMaster, StartTemplate, FinishReload, GiveUpReload})
SOON = 0.001
# What performs the actions about overdue requests.
HARAKIRI = (Nudge, AskForStacks, Warn, Isolate, AwaitSiblings, Execute, Spare, PutOffHarakiri)
HARD_STAGE = "uwsgi_deploy.master.hard_stage"
# Loaded where there is a router.
GATEWAYS = "uwsgi_deploy.master.gateway_keeper"


class Executor:
    """Performs actions on processes and writes what it did into the fleet."""

    def __init__(self, resources: Resources, fleet: Fleet, observer: Observer) -> None:
        self._resources, self._fleet, self._observer = resources, fleet, observer
        self._autoreload: autoreload.Autoreload | None = None
        if autoreload.wanted(resources.settings.watching):
            self._autoreload = autoreload.Autoreload(resources.settings.watching, observer, resources.all_listeners)
        self._now = 0.0
        self._hard_stage: Any = None
        self.reexecution = Reexecution(resources, fleet, observer)
        if self._autoreload is not None:
            self.reexecution.keep("autoreload", self._autoreload.keepsake)
        stacks = resources.stacks
        self.reexecution.keep("stacks", lambda: (stacks.descriptors, stacks.descriptors))
        entrances = [intake for intake in resources.intakes if isinstance(intake, Entrance)]
        self.reexecution.keep(ENTRANCES, lambda: to_rows((*entrances, *resources.leaving_intakes)))
        for name, kept in resources.keepsakes.items():
            self.reexecution.keep(name, lambda kept=kept: kept)  # type: ignore[misc]
        self._steps: dict[type[Action], Callable[[Any], None]] = {
            StartTemplate: self._start_template,
            StopTemplate: self._stop_template,
            KillTemplate: self._kill_template,
            OrderWorker: self._order_worker,
            Dismiss: self._dismiss,
            Recycle: self._recycle,
            Kill: self._kill,
            Remind: self._remind,
            CloseListeners: self._close_listeners,
            EndServer: self._end_server,
            CheckConfiguration: self._check_configuration,
            KillChecker: self._kill_checker,
            ReplaceMaster: self._replace_master,
            FinishReload: self._finish_reload,
            GiveUpReload: self._give_up_reload,
            ChainVictim: self._tell_chain_victim,
            WakeAt: self._wake_at,
        }
        self._steps.update(dict.fromkeys(HARAKIRI, self._harakiri))
        self._sizing = Sizing(fleet, observer, resources.listeners)
        self._steps.update(self._sizing.steps)

        steps = DaemonKeeper(resources.settings, fleet).steps()
        self.gateways: GatewayKeeper | None = None
        if resources.gateway is not None:
            self.gateways = import_module(GATEWAYS).GatewayKeeper(resources, fleet, observer)
            steps.update(self.gateways.steps())
        for kind, step in steps.items():
            self._steps[kind] = self._at_present(step)

    def _at_present(self, step: Callable[[Any, float], None]) -> Callable[[Any], None]:
        return lambda action: step(action, self._now)

    def adopt_watcher(self, kept: Any) -> None:
        """Take over py-autoreload's watcher from the former image, if it left one."""
        if kept is None:
            return
        if self._autoreload is None:
            autoreload.dismiss_watcher(kept)
        else:
            self._autoreload.adopt(kept)

    def perform(self, action: Action, now: float) -> None:
        """Do what the action says; `now` is the instant it was decided at."""
        self._now = now
        self._steps[type(action)](action)
        if type(action) in LEAD_TO_MORE:
            self._wake_at(WakeAt(now + SOON))

    def _wake_at(self, action: WakeAt) -> None:
        self._fleet.alarm = min(self._fleet.alarm or action.instant, action.instant)

    # --- templates ----------------------------------------------------------------------------------------------------

    def _start_template(self, _action: StartTemplate) -> None:
        reporter = None
        if self._autoreload is not None:
            started = time.time_ns()
            self._autoreload.start_watcher(fork_child, (*self._resources.private, *self._observer.descriptors()))
            reporter = self._autoreload.reporter(started)
        generation = self._fleet.next_generation()
        ours, theirs = channel.channel()
        resources = self._resources
        private = (
            *resources.private,
            *resources.scoreboard.private,
            *self._observer.descriptors(),
            *(listener.socket.fileno() for listener in resources.leaving if listener.socket.fileno() >= 0),
            *(resources.gateway.descriptors if resources.gateway is not None else ()),
            ours.fileno(),
        )
        context = TemplateContext(
            settings=resources.settings,
            listeners=resources.listeners,
            scoreboard=resources.scoreboard,
            generation=generation,
            master_pid=os.getpid(),
            channel=theirs,
            serve=resources.serve,
            reporter=reporter,
            stacks=resources.stacks,
        )

        def body() -> int:
            for descriptor in private:
                os.close(descriptor)
            if context.settings.daemons.daemons_honour_stdin and not context.settings.system.honour_stdin:
                drop_input()  # the master keeps its own for them
            return run_template(context)

        gc.collect()
        gc.freeze()  # what the master has is garbage to nobody: templates share it with all workers
        try:
            pid = fork_child(body)
        except OSError as error:
            log(f"*** cannot fork a template: {error.strerror}; trying again in a second ***")
            ours.close()
            self._fleet.template_not_before = self._now + 1.0
            if self._fleet.reload is not None:
                self._fleet.reload.failure = f"no process can be forked: {error.strerror}"
            return
        finally:
            theirs.close()
        self._fleet.templates.append(Template(generation, pid, processes=resources.settings.workers.processes))
        self._observer.attach(generation, ours)

    def _stop_template(self, action: StopTemplate) -> None:
        template = self._fleet.template_of_generation(action.generation)
        if template is None:
            return
        template.stopping = True
        end = self._observer.channel(action.generation)
        working = any(
            worker.phase is Phase.ORDERED and worker.generation == template.generation
            for worker in self._fleet.workers()
        )
        if end is None or not working:
            _kill(
                template.pid, signal.SIGKILL
            )  # it has nothing to tidy up, and may be deep in the application's import
            return
        end.shutdown(socket.SHUT_WR)  # it answers the order it is working on, then sees the end
        template.deadline = self._now + (self._resources.settings.reload.reload_mercy or TEMPLATE_GRACE)

    def _kill_template(self, action: KillTemplate) -> None:
        template = self._fleet.template_of_generation(action.generation)
        if template is not None:
            template.deadline = None
            _kill(template.pid, signal.SIGKILL)

    # --- workers ------------------------------------------------------------------------------------------------------

    def _order_worker(self, action: OrderWorker) -> None:
        template = self._fleet.template
        end = self._observer.channel(template.generation) if template is not None else None
        if template is None or end is None:
            return  # the template ends at this moment; the policy asks again when its exit was seen
        worker = self._fleet.ordered(action.wid, action.bank, template.generation, self._now)
        self._resources.scoreboard.expect(worker.wid, worker.bank, template.generation)
        self._resources.scoreboard.tell_paused(paused=self._fleet.paused)
        follows_victim = self._fleet.slot(worker.wid).harakiri_count > 0
        order = SpawnWorker(worker.serial, worker.wid, worker.bank, worker.is_first, follows_victim)
        try:
            end.send(channel.encode(order))
        except OSError:
            self._fleet.gone(worker)

    def _dismiss(self, action: Dismiss) -> None:
        worker = self._fleet.worker_of_serial(action.serial)
        if worker is None or worker.phase is Phase.ORDERED:
            return
        if action.reason:
            log(action.reason)
        deadline = None if action.grace is None else self._now + action.grace
        self._fleet.told(worker, action.signal, deadline)
        _kill(worker.pid, action.signal)

    def _recycle(self, action: Recycle) -> None:
        worker = self._fleet.worker_of_serial(action.serial)
        if worker is not None and worker.stays and not worker.outlived:
            log(action.reason)
            worker.outlived = True

    def _kill(self, action: Kill) -> None:
        worker = self._fleet.worker_of_serial(action.serial)
        if worker is None:
            return
        if worker.told != signal.SIGQUIT:
            log(f"worker {worker.wid} (pid: {worker.pid}) is taking too much time to die...NO MERCY !!!")
        worker.deadline = None
        _kill(worker.pid, signal.SIGKILL)

    def _harakiri(self, action: Any) -> None:
        """What most servers never need is loaded now; whatever is wrong with that, the worker goes."""
        if self._hard_stage is None:
            try:
                loaded = import_module(HARD_STAGE)
            except ImportError as error:  # a jail without our code
                log(f"*** WARNING: {error}: overdue requests are not reported ***")
                self._kill(Kill(action.serial))
                return
            self._hard_stage = loaded.HardStage(
                self._resources, self._fleet, lambda instant: self._wake_at(WakeAt(instant))
            )
        self._hard_stage.perform(action, self._now)

    def _remind(self, action: Remind) -> None:
        self._resources.scoreboard.tell_paused(paused=self._fleet.paused)
        numbers: list[int] = [REMINDER]
        if self._fleet.leaving_since is not None:
            numbers.append(FAREWELL)
        for worker in self._fleet.workers():
            if worker.phase is not Phase.ORDERED and action.serial in (None, worker.serial):
                for number in numbers:
                    _kill(worker.pid, number)
        if self.gateways is not None and action.serial is None:
            self.gateways.remind((signal.SIGWINCH, *numbers[1:]))
        for template in self._fleet.templates if action.serial is None else ():
            end = self._observer.channel(template.generation)
            try:
                if end is not None and not template.stopping:
                    end.send(channel.encode(ReopenLog()))
            except OSError:
                continue  # it ends at this moment

    # --- the server ---------------------------------------------------------------------------------------------------

    def _end_server(self, action: EndServer) -> None:
        log(action.reason)
        self._fleet.begin_stop(self._now)

    def _close_listeners(self, _action: CloseListeners) -> None:
        self._sizing.unwatch()
        resources = self._resources
        listeners = [*resources.listeners, *resources.leaving]
        if self._fleet.is_draining:  # gateways go on knocking at the private ones
            listeners = [listener for listener in listeners if listener.protocol is not Protocol.ROUTED]
        if resources.gateway is not None:
            listeners += resources.gateway.listeners
        refuse_newcomers(listeners)
        close_listeners(listeners)

    # --- reloading ----------------------------------------------------------------------------------------------------

    def _check_configuration(self, _action: CheckConfiguration) -> None:
        fleet = self._fleet
        assert fleet.reload is not None
        try:
            pid = self.reexecution.start_checker()
        except OSError as error:
            fleet.reload.failure = f"no process can be forked: {error.strerror}"
            return
        fleet.checker = Checker(pid, self._now + CHECK_TIME)

    def _kill_checker(self, _action: KillChecker) -> None:
        if self._fleet.checker is not None:
            self._fleet.checker.deadline = None
            _kill(self._fleet.checker.pid, signal.SIGKILL)

    def _replace_master(self, _action: ReplaceMaster) -> None:
        fleet = self._fleet
        assert fleet.reload is not None
        fleet.begin_loading()
        if not self.reexecution.is_tried:
            return  # a restart of a server whose configuration cannot be read again
        error = self.reexecution.succeed()  # returns only with an error
        fleet.reload.failure = f"the master cannot execute itself: {error.strerror}"

    def _finish_reload(self, _action: FinishReload) -> None:
        fleet = self._fleet
        reload = fleet.reload
        if reload is None:
            return
        forget_mapped_files()  # what only booting needed
        if reload.kind is ReloadKind.CHAIN:
            log("chain reloading complete")
        template = fleet.template
        generation = template.generation if template is not None else 0
        message = f"{len(fleet.active)} workers of generation {generation} serve" if fleet.size else "the router serves"
        if reload.kind is ReloadKind.RETURN:
            log(f"*** back to what was before the reload: {message} ***")
        else:
            word = "restart" if reload.kind is ReloadKind.RESTART else "reload"
            log(f"*** {word} complete: {message} ***")
        if reload.kind in (ReloadKind.WHOLE, ReloadKind.BRUTAL, ReloadKind.RESTART):
            for daemon in fleet.daemons:
                daemon.restart()
        fleet.end_reload(ok=True, message=message)
        self.reexecution.arrived()

    def _give_up_reload(self, action: GiveUpReload) -> None:
        """The old generation goes on; workers of the new one are replaced by old ones while there is a template."""
        fleet = self._fleet
        assert fleet.reload is not None
        if any(worker.phase is Phase.READY for worker in fleet.workers()) or not fleet.size:
            log(f"*** reload cancelled: {action.reason}, the old one goes on serving ***")
        else:  # a restart: nothing old is left
            log(f"*** {action.reason}: nobody serves until the application can be loaded, which is tried again ***")
        ended = fleet.give_up_reload(action.reason)
        for template in fleet.templates:
            if template.generation > ended.beyond and (fleet.returns or not template.ready):
                template.stopping = True
                _kill(template.pid, signal.SIGKILL)
        if fleet.returns:
            for worker in fleet.workers():
                if worker.phase is Phase.STARTING and worker.generation > ended.beyond:
                    self._dismiss(Dismiss(worker.serial, signal.SIGQUIT, IMMEDIATE_GRACE))
        error = self.reexecution.go_back()
        if error is not None:
            log(f"*** the settings from before cannot be restored: {error.strerror} ***")
        if not fleet.returns:
            self.reexecution.arrived()

    def _tell_chain_victim(self, action: ChainVictim) -> None:
        assert self._fleet.reload is not None
        self._fleet.reload.victim, self._fleet.reload.told_at = action.wid, self._now
        if action.waiting:
            log(f"chain is still waiting for worker {action.wid}...")
        else:
            log(f"chain next victim is worker {action.wid}")


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself; its exit is about to be seen
    except PermissionError:
        log(f"*** WARNING: may not send {signal.Signals(number).name} to process {pid} ***")
