"""The master's hands: the only file of `master/` that forks, kills and closes. Performs actions, decides nothing.

What an action changes in the table is written here, at the moment it happens.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.actions import (
    Action,
    CloseListeners,
    Dismiss,
    FinishReload,
    Kill,
    KillTemplate,
    OrderWorker,
    Recycle,
    StartTemplate,
    StopTemplate,
    WakeAt,
)
from uwsgi_deploy.master.fleet import Fleet, Phase, Template
from uwsgi_deploy.master.intake import autoreload
from uwsgi_deploy.master.milestones import Milestones
from uwsgi_deploy.master.observe import Intake, Observer
from uwsgi_deploy.net.listener import Listener, close_listeners, refuse_newcomers
from uwsgi_deploy.process.fork import fork_child
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker import channel
from uwsgi_deploy.worker.channel import SpawnWorker
from uwsgi_deploy.worker.template import Serve, TemplateContext, run_template

# How long a template may take to fork the worker that was ordered.
TEMPLATE_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class Resources:
    """What the master opened and its children use. `private` are descriptors that children must close, at any time;
    `intakes` bring requests, the master watches them; `milestones` are reached in the first start."""

    settings: Settings
    listeners: tuple[Listener, ...]
    scoreboard: Scoreboard
    serve: Serve
    private: Sequence[int] = ()
    intakes: tuple[Intake, ...] = ()
    milestones: Milestones | None = None


class Executor:
    """Performs actions on processes and writes what it did into the fleet."""

    def __init__(self, resources: Resources, fleet: Fleet, observer: Observer) -> None:
        self._resources, self._fleet, self._observer = resources, fleet, observer
        self._autoreload: autoreload.Autoreload | None = None
        if autoreload.wanted(resources.settings.watching):
            self._autoreload = autoreload.Autoreload(resources.settings.watching, observer, resources.listeners)
        self._now = 0.0
        self._steps: dict[type[Action], Callable[[Any], None]] = {
            StartTemplate: self._start_template,
            StopTemplate: self._stop_template,
            KillTemplate: self._kill_template,
            OrderWorker: self._order_worker,
            Dismiss: self._dismiss,
            Recycle: self._recycle,
            Kill: self._kill,
            CloseListeners: self._close_listeners,
            FinishReload: self._finish_reload,
            WakeAt: self._wake_at,
        }

    def perform(self, action: Action, now: float) -> None:
        """Do what the action says; `now` is the instant it was decided at."""
        self._now = now
        self._steps[type(action)](action)

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
        private = (*resources.private, *self._observer.descriptors(), ours.fileno())
        context = TemplateContext(
            settings=resources.settings,
            listeners=resources.listeners,
            scoreboard=resources.scoreboard,
            generation=generation,
            master_pid=os.getpid(),
            channel=theirs,
            serve=resources.serve,
            reporter=reporter,
        )

        def body() -> int:
            for descriptor in private:
                os.close(descriptor)
            return run_template(context)

        gc.collect()
        gc.freeze()  # what the master has is garbage to nobody: templates share it with all workers
        try:
            pid = fork_child(body)
        except OSError as error:
            log(f"*** cannot fork a template: {error.strerror}; trying again in a second ***")
            ours.close()
            self._fleet.template_not_before = self._now + 1.0
            return
        finally:
            theirs.close()
        self._fleet.templates.append(Template(generation, pid))
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
        template.deadline = self._now + TEMPLATE_GRACE

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
        try:
            end.send(channel.encode(SpawnWorker(worker.serial, worker.wid, worker.bank, worker.is_first)))
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

    # --- the server ---------------------------------------------------------------------------------------------------

    def _close_listeners(self, _action: CloseListeners) -> None:
        refuse_newcomers(self._resources.listeners)
        close_listeners(self._resources.listeners)

    def _finish_reload(self, _action: FinishReload) -> None:
        reload = self._fleet.reload
        if reload is None:
            return
        template = self._fleet.template
        generation = template.generation if template is not None else 0
        log(f"*** reload complete: {len(self._fleet.slots)} workers of generation {generation} serve ***")
        self._fleet.reload = None
        if reload.again:
            self._fleet.begin_reload(brutal=reload.brutal)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself; its exit is about to be seen
    except PermissionError:
        log(f"*** WARNING: may not send {signal.Signals(number).name} to process {pid} ***")
