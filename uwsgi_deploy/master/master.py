"""The master's loop: observe, write the facts into the fleet, let the policies decide, perform.

It sleeps in one `poll` until something happens or is due, and never imports or calls the application.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from importlib import import_module

from uwsgi_deploy.errors import AppLoadError, ServerError
from uwsgi_deploy.logs import banner
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.actions import Remind, WakeAt
from uwsgi_deploy.master.adoption import Adoption
from uwsgi_deploy.master.cases import CaseStage
from uwsgi_deploy.master.commands import BY_SIGNAL, UNUSED_SIGNALS, Command, Reply, Request, request_of
from uwsgi_deploy.master.daemons import KEEPSAKE, TOUCH_INTERVAL, TouchedDaemons, adopt_daemons, bury, rows_of, to_rows
from uwsgi_deploy.master.ending import Ending
from uwsgi_deploy.master.executor import Executor
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.fleet_commands import FLEET_COMMANDS, change_fleet
from uwsgi_deploy.master.hooks import MasterHooks
from uwsgi_deploy.master.intake import autoreload
from uwsgi_deploy.master.milestones import all_ready
from uwsgi_deploy.master.observe import Exit, Observation, Observer
from uwsgi_deploy.master.policies.harakiri import shortest_limit
from uwsgi_deploy.master.policies.respawn import MOST_FAILED_STARTS, failures_after, pause_after
from uwsgi_deploy.master.reexecution import CANNOT_RUN
from uwsgi_deploy.master.reload_rows import ReloadKind, Stage
from uwsgi_deploy.master.reloading import Reloading
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.master.rows import Template
from uwsgi_deploy.master.rules import POLICIES
from uwsgi_deploy.master.sampling import Sampler
from uwsgi_deploy.master.supervisor import Supervisor
from uwsgi_deploy.master.upkeep import Upkeep
from uwsgi_deploy.net.queue_length import queue_length
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.hooks import HookFailed
from uwsgi_deploy.process.pages import forget_mapped_files
from uwsgi_deploy.process.signals import Wakeup
from uwsgi_deploy.shared.scoreboard import Field
from uwsgi_deploy.worker.channel import LoadFailed, Message, Spawned, SpawnFailed, TemplateReady

WATCHED_SIGNALS = (*BY_SIGNAL, *UNUSED_SIGNALS, signal.SIGCHLD)

# How often a worker is looked for that was ordered from a template that died, and how long at most: its channel may
# stay open in a process that the application started.
ORPHAN_POLL = 0.05
ORPHAN_GRACE = 10.0

# Asked where there is a router only.
GATEWAY_POLICY = "uwsgi_deploy.master.policies.gateways"

# A new version whose worker ended unexpectedly this often in a row is given up.
MOST_FAILED_SUCCESSORS = 3


class Master:
    """One run of the server. `wakeup` is fed by the signals in `WATCHED_SIGNALS` since before anything was opened;
    `supervisor` tells a service manager, if there is one. adoption: what a former image of this process left."""

    def __init__(
        self, resources: Resources, wakeup: Wakeup, adoption: Adoption, supervisor: Supervisor | None = None
    ) -> None:
        settings = resources.settings
        self._workers, self._cores = settings.workers, settings.cores
        self._scoreboard = resources.scoreboard
        self._fleet = Fleet(
            settings.workers.processes if settings.has_workers else 0,
            mercy=settings.workers.worker_reload_mercy,
            recycling=settings.recycling,
            cheaper=settings.cheaper,
        )
        self._fleet.daemons = rows_of(settings)
        self._sampler = Sampler(settings, resources.scoreboard, resources.listeners)
        self._fleet.harakiri, self._fleet.shortest_limit = settings.harakiri, shortest_limit(settings.harakiri)
        self._listeners, self._stacks = resources.listeners, resources.stacks
        self._observer = Observer(wakeup, resources.scoreboard)
        self._observer.watch(self._stacks.fileno(), self._read_stacks)
        self._executor = Executor(resources, self._fleet, self._observer)
        self._gateways = self._executor.gateways
        self._policies = POLICIES
        if self._gateways is not None:
            self._policies += (import_module(GATEWAY_POLICY).gateways,)
        self._supervisor, self._milestones = supervisor, resources.milestones
        self._hooks = MasterHooks(settings)
        self._unclaimed: dict[int, Exit] = {}
        self._waits_for_fixes = autoreload.wanted(settings.watching)
        self._orphaned: dict[int, float] = {}  # generation of a template that died with orders -> until when to wait
        self._unheeded: tuple[int, ...] = ()
        self._commands: dict[Command, Callable[[Request, float], Reply]] = {
            **dict.fromkeys(FLEET_COMMANDS, self._change_fleet),
        }
        self._upkeep = Upkeep(resources, self._fleet, self._executor.perform)
        self._commands.update(self._upkeep.commands)
        ending = Ending(self._fleet, lame_duck=settings.system.lame_duck, perform=self._executor.perform)
        self._commands.update(ending.commands)
        self._commands.update(Reloading(settings, self._fleet).commands)
        self._fleet.can_execute = resources.image is not None
        for intake in (*resources.intakes, *resources.leaving_intakes):
            intake.attach(self._observer)
        self._adopt(adoption)
        self._executor.reexecution.keep(KEEPSAKE, lambda: (to_rows(self._fleet.daemons), ()))
        if touched := TouchedDaemons(self._fleet.daemons):
            self._observer.every(TOUCH_INTERVAL, touched.read)

    def run(self) -> None:
        """Serve until stopped. Raises the ServerError that made a start impossible, when everything has ended."""
        observation, has_acted = None, False
        while not self._fleet.is_over:
            observation = self._observer.wait(0.0 if has_acted else self._next_deadline(observation))
            self._fleet.alarm = None
            self._learn(observation)
            # What was done may be somebody else's reason to act, who was asked before: once more, and then not again.
            has_acted = self._decide(observation.now) and not has_acted
            if self._supervisor is not None:
                self._supervisor.tell(self._fleet, observation.now)
        end = self._fleet.stop
        assert end is not None  # else it would not be over
        if end.last_words:
            log(end.last_words)
        log("goodbye to uWSGI.")
        if end.error is not None:
            raise end.error

    def _decide(self, now: float) -> bool:
        """Ask all policies and do what they say; whether there was anything to do."""
        has_acted = False
        for policy in self._policies:
            for action in tuple(policy(self._fleet, now)):
                self._executor.perform(action, now)
                has_acted = has_acted or not isinstance(action, WakeAt)
        return has_acted

    def _adopt(self, adoption: Adoption) -> None:
        """Go on from where the former image was, if there was one."""
        adoption.fill(self._fleet)
        adopt_daemons(self._fleet.daemons, adoption.keepsake(KEEPSAKE) or ())
        if self._gateways is not None:
            self._gateways.adopt(adoption, self._executor.reexecution)
        for generation, end in adoption.channels():
            self._observer.attach(generation, end)
        self._executor.adopt_watcher(adoption.keepsake("autoreload"))
        for generation in self._fleet.orphaned_generations():  # nobody else remembers that one waits for their workers
            self._orphaned[generation] = time.monotonic() + ORPHAN_GRACE
        adoption.settle()
        self._unheeded = adoption.signals()
        if self._fleet.reload is None:
            self._executor.reexecution.arrived()

    def _next_deadline(self, last: Observation | None) -> float | None:
        """When to look again at the latest; at the start at once."""
        if last is None:
            return 0.0
        return min((deadline for deadline in self._fleet.deadlines() if deadline > last.now), default=None)

    # --- facts --------------------------------------------------------------------------------------------------------

    def _learn(self, observation: Observation) -> None:
        now = observation.now
        unheeded, self._unheeded = self._unheeded, ()
        for number in (*unheeded, *observation.signals):
            request = self._hooks.request_of(number) or request_of(number, die_on_term=self._workers.die_on_term)
            if request is not None:
                self._obey(request, now)
        for request in observation.requests:
            self._obey(request, now)
        for generation, message in observation.messages:
            self._hear(generation, message, now)
        for ended in observation.exits:
            self._bury(ended, now)
        if not any(worker.phase is Phase.ORDERED for worker in self._fleet.workers()):
            self._unclaimed.clear()
        self._claim_orphans(now)
        self._read_scoreboard(now)
        self._look_at_requests()
        self._upkeep.look(now)

    def _obey(self, request: Request, now: float) -> None:
        """Do what is asked and answer. Each command has one method, which returns the answer."""
        obey = self._commands.get(request.command)
        if obey is None:
            log(f"{request.origin}: '{request.command.value}' is not possible in this server")
            request.reply(Reply(ok=False, message=f"'{request.command.value}' is not possible in this server"))
            return
        request.reply(obey(request, now))

    def _change_fleet(self, request: Request, now: float) -> Reply:
        reply = change_fleet(self._fleet, request, now)
        log(f"{request.origin}: {reply.message}")
        return reply

    # --- messages of templates ----------------------------------------------------------------------------------------

    def _hear(self, generation: int, message: Message, now: float) -> None:
        match message:
            case TemplateReady():
                self._promote(generation, now)
            case Spawned(serial, pid):
                self._greet(serial, pid, now)
            case SpawnFailed(serial, reason):
                self._miss(serial, reason, now)
            case LoadFailed(serial):
                self._note_load_failure(generation, message, now)
            case _:
                raise AssertionError(f"a template never says {message!r}")

    def _promote(self, generation: int, now: float) -> None:
        """A template is loaded: it takes the orders from now on."""
        fleet = self._fleet
        template = fleet.template_of_generation(generation)
        if template is None or template.stopping:
            return
        template.ready = True
        fleet.template_failures = 0
        reload = fleet.reload
        if reload is not None and reload.stage is Stage.LOADING and generation > reload.beyond:
            reload.stage, reload.target = Stage.ROLLING, generation
            for slot in fleet.slots:
                slot.failures = 0  # what counts from here on are failures of the new
        if not fleet.booted:
            log("*** uWSGI is running in single interpreter mode ***")
            if self._milestones is not None:
                self._reach(self._milestones.loaded, now)

    def _greet(self, serial: int, pid: int, now: float) -> None:
        worker = self._fleet.worker_of_serial(serial)
        if worker is None:
            return
        self._fleet.born(worker, pid, now)
        if worker.is_first:
            log(banner.worker_spawned(worker.wid, pid, self._cores))
        else:
            log(f"Respawned uWSGI worker {worker.wid} (new pid: {pid})")
        ended = self._unclaimed.pop(pid, None)
        if ended is not None:
            self._bury_worker(worker, ended, now)

    def _miss(self, serial: int, reason: str, now: float) -> None:
        worker = self._fleet.worker_of_serial(serial)
        if worker is None:
            return
        log(f"*** worker {worker.wid} cannot be forked: {reason} ***")
        slot = self._fleet.slot(worker.wid)
        self._fleet.gone(worker)
        slot.failures = max(1, slot.failures) + 1
        slot.not_before = now + pause_after(slot.failures)
        if self._fleet.reload is not None and slot.failures > MOST_FAILED_SUCCESSORS:
            self._cancel_reload(f"worker {worker.wid} cannot be forked: {reason}")

    def _note_load_failure(self, generation: int, failure: LoadFailed, now: float) -> None:
        fleet = self._fleet
        error = AppLoadError(failure.message, details=failure.details)
        error.exit_code = failure.exit_code
        template = fleet.template_of_generation(generation)
        if failure.serial == 0 and template is not None:
            template.failed = True
        if fleet.stop is not None:
            return
        if not fleet.booted:
            if self._waits_for_fixes and failure.exit_code == ExitCode.NO_APPLICATION:
                self._await_change(failure)
                return
            self._announce_end(failure)
            fleet.begin_stop(now, error=error)
            return
        log(f"{failure.details}\n{failure.message}" if failure.details else failure.message)
        self._give_up_new_code(failure.message, now)

    def _await_change(self, failure: LoadFailed) -> None:
        """The first start of a broken application under development: say why, and try again when a file changes."""
        log(f"{failure.details}\n{failure.message}" if failure.details else failure.message)
        early, self._fleet.reload = self._fleet.reload, None
        self._fleet.awaits_change = early is None
        if early is None:
            log("*** the application cannot be loaded: waiting until one of its files changes ***")

    def _announce_end(self, failure: LoadFailed) -> None:
        worker = self._fleet.worker_of_serial(failure.serial)
        if worker is not None and failure.exit_code == ExitCode.NO_APPLICATION:
            log(f"OOPS ! failed loading app in worker {worker.wid} (pid {worker.pid})")
            log("need-app requested, destroying the instance...")
        if failure.exit_code == ExitCode.NO_APPLICATION:
            for line in banner.application_missing():
                log(line)

    def _give_up_new_code(self, reason: str, now: float) -> None:
        """A new version does not load: the old one goes on serving, and a lost template is tried again later."""
        fleet = self._fleet
        fleet.template_failures += 1
        fleet.template_not_before = now + max(1.0, pause_after(fleet.template_failures))
        self._cancel_reload(f"the new application cannot be loaded: {reason}")

    def _cancel_reload(self, reason: str) -> None:
        if self._fleet.reload is not None and not self._fleet.reload.failure:
            self._fleet.reload.failure = reason

    # --- ends of children ---------------------------------------------------------------------------------------------

    def _bury(self, ended: Exit, now: float) -> None:
        worker = self._fleet.worker_of_pid(ended.pid)
        if worker is not None:
            self._bury_worker(worker, ended, now)
            return
        template = self._fleet.template_of_pid(ended.pid)
        if template is not None:
            self._bury_template(template, ended, now)
            return
        if self._fleet.checker is not None and self._fleet.checker.pid == ended.pid:
            self._hear_checker(ended)
            return
        daemon = self._fleet.daemon_of_pid(ended.pid)
        if daemon is not None:
            if bury(daemon, ended, now) and self._fleet.stop is None:
                self._fleet.begin_stop(now)
            return
        if self._gateways is not None and self._gateways.bury(ended, now):
            return
        # A stranger (an orphan of the application, adopted), or a worker whose birth was not announced yet.
        self._unclaimed[ended.pid] = ended

    def _hear_checker(self, ended: Exit) -> None:
        """The child that read the configuration has ended."""
        fleet = self._fleet
        fleet.checker = None
        failure = self._executor.reexecution.judge(ended)
        if fleet.reload is None or fleet.reload.stage is not Stage.CHECKING:
            return
        if ended.code == CANNOT_RUN:
            # A server that became another user, or lives in a jail, may have no access to what started it.
            log(f"*** WARNING: {failure}: settings stay as they are, the application is loaded anew ***")
            if fleet.reload.kind is ReloadKind.RESTART:
                fleet.reload.stage = Stage.EMPTYING
            else:
                fleet.begin_loading()
        elif failure:
            self._cancel_reload(failure)
        else:
            fleet.reload.stage = fleet.reload.checked

    def _bury_worker(self, worker: Worker, ended: Exit, now: float) -> None:
        fleet = self._fleet
        served = self._scoreboard.is_ready(worker.wid, worker.bank, worker.pid)
        self._scoreboard.vacate(worker.wid, worker.bank)
        slot = fleet.slot(worker.wid)  # looked up first: one beyond the server's size goes with its last worker
        fleet.gone(worker)
        if fleet.stop is not None:
            log(f"worker {worker.wid} buried after {int(now - fleet.stop.since)} seconds")
            if fleet.stop.stays and fleet.is_gone:
                log("*** drained: all workers have left, the master waits to be told to stop ***")
            return
        if worker.phase is Phase.LEAVING and ended.signal not in (0, worker.told, signal.SIGKILL):
            log(f"DAMN ! worker {worker.wid} (pid: {worker.pid}) MYSTERIOUSLY killed by signal {ended.signal} :(")
            return
        if worker.phase is Phase.LEAVING and slot.cheap:
            log(f"uWSGI worker {worker.wid} cheaped.")
            return
        if worker.phase is Phase.LEAVING or ended.code in (ExitCode.RETIRED, ExitCode.BROKEN):
            log(f"worker {worker.wid} killed successfully (pid: {worker.pid})")
            return
        if worker.case is None:  # else it worked, and was killed for what it did
            killed = ended.signal == signal.SIGKILL
            slot.failures = failures_after(slot.failures, now - worker.born, served=served, killed=killed)
            slot.not_before = now + pause_after(slot.failures, served=served, killed=killed)
        reload = fleet.reload
        if reload is not None and slot.failures >= MOST_FAILED_SUCCESSORS and not fleet.is_old(worker):
            self._cancel_reload(f"worker {slot.wid} of the new application ends at once, {ended.describe()}")
        if ended.code == ExitCode.HOOK_FAILED and not fleet.booted:
            fleet.begin_stop(now, error=HookFailed(f"a hook of worker {worker.wid} failed: the server cannot start"))
        elif ended.code == ExitCode.NO_APPLICATION:
            log(f"OOPS ! failed loading app in worker {worker.wid} (pid {worker.pid}) :( trying again...")
        elif ended.signal or ended.code:
            how = f", {ended.describe()}"
            log(f"DAMN ! worker {worker.wid} (pid: {worker.pid}) died{how} :( trying respawn ...")
        else:
            log(f"worker {worker.wid} (pid: {worker.pid}) ended without being asked by the master, trying respawn ...")
        if slot.failures == MOST_FAILED_STARTS and not served:
            self._judge_starts(slot.wid, ended, now)

    def _judge_starts(self, wid: int, ended: Exit, now: float) -> None:
        """A worker ends again and again before it serves: if the server has not started yet, it cannot."""
        fleet = self._fleet
        verdict = f"worker {wid} ended {MOST_FAILED_STARTS} times in a row soon after its birth, {ended.describe()}"
        if fleet.booted:
            log(f"*** {verdict}: trying again and again ***")
        elif self._waits_for_fixes:
            fleet.awaits_change = True
            log(f"*** {verdict}: waiting until one of the application's files changes ***")
        else:
            fleet.begin_stop(now, error=AppLoadError(f"{verdict}: the server cannot start"))

    def _bury_template(self, template: Template, ended: Exit, now: float) -> None:
        fleet = self._fleet
        fleet.templates.remove(template)
        self._scoreboard.release(template.generation)
        if any(fleet.orders_of(template.generation)):
            self._orphaned[template.generation] = now + ORPHAN_GRACE
        else:
            self._observer.detach(template.generation)
        if template.stopping or template.failed or fleet.stop is not None:
            return
        if template.ready:
            self._note_lost_target(template)
            log(f"the template (pid: {template.pid}) died, {ended.describe()}; the application is loaded again")
            return
        reason = f"the process that loaded the application ended while loading it, {ended.describe()}"
        if not fleet.booted:
            fleet.begin_stop(now, error=AppLoadError(reason))
            return
        log(reason if fleet.reload is not None else f"{reason} :( trying again...")
        fleet.template_failures += 1
        fleet.template_not_before = now + pause_after(fleet.template_failures)
        self._cancel_reload(reason)

    def _note_lost_target(self, template: Template) -> None:
        """A reload whose template died loads the application once more; its workers of that generation are old now."""
        reload = self._fleet.reload
        if reload is None or reload.target != template.generation:
            return
        if reload.kind is ReloadKind.RETURN:
            self._cancel_reload("the process that holds the former application died")
            return
        reload.stage, reload.target, reload.losses = Stage.LOADING, None, reload.losses + 1
        if reload.losses >= MOST_FAILED_SUCCESSORS:
            self._cancel_reload("the process that loads the new application dies again and again")

    def _claim_orphans(self, now: float) -> None:
        """Find workers that a template forked and did not live to tell of.

        Such a worker wrote its pid into the scoreboard before it closed its copy of the template's channel: when the
        channel is at its end, who is not in the scoreboard does not exist.
        """
        for generation, deadline in list(self._orphaned.items()):
            for worker in list(self._fleet.orders_of(generation)):
                pid = self._scoreboard.record_in(worker.wid, worker.bank)[Field.PID]
                if pid:
                    self._greet(worker.serial, pid, now)
                elif self._observer.channel(generation) is None or now >= deadline:
                    self._fleet.gone(worker)
            if any(self._fleet.orders_of(generation)):
                self._fleet.alarm = min(self._fleet.alarm or deadline, now + ORPHAN_POLL)
            else:
                del self._orphaned[generation]
                self._observer.detach(generation)

    # --- the scoreboard -----------------------------------------------------------------------------------------------

    def _read_scoreboard(self, now: float) -> None:
        fleet, scoreboard = self._fleet, self._scoreboard
        for worker in fleet.workers():
            if worker.phase is Phase.STARTING and scoreboard.is_ready(worker.wid, worker.bank, worker.pid):
                worker.move(Phase.READY)
                # It may have been ordered before that.
                if fleet.paused or fleet.resumed or fleet.leaving_since is not None:
                    self._executor.perform(Remind(worker.serial), now)
            if worker.phase is Phase.READY and scoreboard.record_in(worker.wid, worker.bank)[Field.OUTLIVED]:
                worker.outlived = True
        self._sampler.look(fleet, now)
        if not fleet.booted and fleet.stop is None and all_ready(self._fleet):
            fleet.boot()
            forget_mapped_files()  # what only booting needed
            log(banner.ready(len(fleet.active)) if fleet.size else banner.router_ready(len(fleet.gateways)))
            if self._milestones is not None:
                self._reach(self._milestones.ready, now)
            self._reach(self._hooks.started, now)

    def _reach(self, milestone: Callable[[], None], now: float) -> None:
        """A server that cannot do what was asked for at a moment of its start ends."""
        try:
            milestone()
        except ServerError as error:
            self._fleet.begin_stop(now, error=error)

    def _look_at_requests(self) -> None:
        """What every core runs, and whether workers that were asked have shown their stacks."""
        for worker in self._fleet.workers():
            if worker.phase is not Phase.ORDERED:
                worker.running = list(self._scoreboard.running(worker.wid, worker.bank))
                worker.pulse = self._scoreboard.pulse(worker.wid, worker.bank)
                worker.shortest = self._scoreboard.shortest(worker.wid, worker.bank)
            if worker.case is not None and worker.case.stage is CaseStage.STACKS_ASKED:
                worker.case.has_stacks = self._stacks.is_whole(worker.pid)
        if self._fleet.harakiri.harakiri_queue_threshold and self._fleet.stop is None:
            lengths = [queue_length(listener.socket) for listener in self._listeners]
            self._fleet.listen_queue = max((length for length in lengths if length is not None), default=None)

    def _read_stacks(self) -> tuple[Request, ...]:
        self._stacks.read()
        return ()
