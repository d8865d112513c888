"""From settings to a running server and back to an empty machine, in ordered steps.

What is wrong with the settings is found before anything is opened; sockets are bound before privileges are dropped and
before the application is loaded, so that the errors people can mend quickly come first. Whatever a step created is
undone on the way out. `run_server` is what `cli` and `uwsgi_deploy.run` call.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module

import uwsgi_deploy
from uwsgi_deploy.api import module as uwsgi_module
from uwsgi_deploy.api.functions import Surroundings
from uwsgi_deploy.config.checks import check, require_socket
from uwsgi_deploy.config.daemons import daemon_specs
from uwsgi_deploy.config.hooks import Phase
from uwsgi_deploy.config.platform import activated_sockets
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError, ServerError
from uwsgi_deploy.image import Image
from uwsgi_deploy.logs import banner
from uwsgi_deploy.logs.access import unknown_fields
from uwsgi_deploy.logs.setup import keep_log, log, open_log, send_log_to
from uwsgi_deploy.master import closed_code, hooks, tls
from uwsgi_deploy.master.adoption import Adoption
from uwsgi_deploy.master.intake.entrances import KEEPSAKE as ENTRANCES
from uwsgi_deploy.master.intake.entrances import Entrance, open_entrances
from uwsgi_deploy.master.intake.log_limit import log_limit
from uwsgi_deploy.master.intake.touch import KEEPSAKE as TOUCHED
from uwsgi_deploy.master.intake.touch import touch_files
from uwsgi_deploy.master.manifest import Manifest
from uwsgi_deploy.master.master import WATCHED_SIGNALS, Master
from uwsgi_deploy.master.milestones import Milestones, add_pidfile
from uwsgi_deploy.master.observe import Intake
from uwsgi_deploy.master.reexecution import become
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.master.supervisor import Supervisor
from uwsgi_deploy.master.vacuum import Vacuum
from uwsgi_deploy.net.listener import Listener, bind_listeners, check_addresses, listen_backlog
from uwsgi_deploy.process import identity, prctl, runtime_dir, signals, titles
from uwsgi_deploy.process.capabilities import forget_ambient
from uwsgi_deploy.process.command import Interrupted
from uwsgi_deploy.process.confinement import limit_address_space
from uwsgi_deploy.process.daemon import identity_of
from uwsgi_deploy.process.daemonize import Foreground, detach, detach_when_ready
from uwsgi_deploy.process.environment import change_environment
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.hooks import HookRunner
from uwsgi_deploy.process.identity import Identity
from uwsgi_deploy.process.limits import apply_limits, describe_limits
from uwsgi_deploy.process.notify import Notifier, forget_manager, notifier_of
from uwsgi_deploy.reports import place
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.shared.stack_dump import StackChannel
from uwsgi_deploy.worker.prepared import prepare
from uwsgi_deploy.worker.template import Serve, load
from uwsgi_deploy.worker.worker import WorkerContext, run_worker
from uwsgi_deploy.wsgi.loader import check_application

# Loaded where there is a router, or processes of a former image's.
GATEWAYS, KEEPER = "uwsgi_deploy.master.gateway_sockets", "uwsgi_deploy.master.gateway_keeper"
# Where Python callers' settings come from, for messages; `cli` has checked its own with better origins already.
ORIGINS = dict.fromkeys(("processes", "threads", "env", "master"), "settings")


def run_server(
    configuration_settings: Settings,
    *,
    notices: Sequence[str] = (),
    serve: Serve = run_worker,
    is_last: bool = False,
    image: Image | None = None,
    manifest: Manifest | None = None,
) -> int:
    """Serve until stopped and return the exit code; ServerError when the server cannot start, with nothing left behind.

    notices: lines of the configuration for the log. serve: a worker's life, another one only in tests.
    is_last: the process ends when this returns. image: what this process was started with, if it can be executed again.
    manifest: what the former image of this very process left: it goes on serving, with these settings.
    """
    start = Start(serve, is_last, image, Adoption(manifest))
    try:
        return _start(configuration_settings, notices, start)
    except Exception as error:
        # Without a former image there is one with the same settings: of this one, with less to do.
        former = image if manifest is None or manifest.previous is None else Image.decode(manifest.previous)
        if manifest is None or former is None or start.returns or start.adoption.is_settled:
            raise
        # Nothing was given up yet: the former image gets everything back, and serves on.
        if isinstance(error, Interrupted):
            os.kill(os.getpid(), error.number)  # held back until the former image's loop runs
        log(str(error) if isinstance(error, ServerError) else f"the new configuration cannot be served: {error!r}")
        failure = replace(manifest, failure=str(error) or repr(error), previous=None)
        raise become(former, failure) from error


def check_start(configuration_settings: Settings) -> None:
    """ServerError for whatever can be known to be wrong without opening anything; for a process that ends then."""
    settings = check(configuration_settings, ORIGINS, lambda _notice: None)
    identity.assume(_check(settings, again=True))


@dataclass(frozen=True, slots=True)
class Start:
    """How this server was started; see `run_server`."""

    serve: Serve
    is_last: bool
    image: Image | None
    adoption: Adoption

    @property
    def again(self) -> bool:
        """Whether this is another image of a master that serves already."""
        return self.adoption.manifest is not None

    @property
    def returns(self) -> bool:
        """Whether this is the image of before, after one that could not serve."""
        return self.adoption.manifest is not None and bool(self.adoption.manifest.failure)

    @property
    def is_over(self) -> bool:
        """Whether the process ends when the server does: at its end, but not if the former image takes over again."""
        return self.is_last and (not self.again or self.adoption.is_settled)


def _start(configuration_settings: Settings, notices: Sequence[str], start: Start) -> int:
    lines = list(notices)
    # Whoever read these settings from somewhere has said it already, with the options' places.
    said = list[str]() if configuration_settings.as_written else lines
    settings = check(configuration_settings, ORIGINS, said.append)
    if start.again and not settings.workers.master:
        lines.append("master = false: a running master stays until the server is stopped")
        settings = replace(settings, workers=replace(settings.workers, master=True))
    hook_runner = hooks.runner_of(settings, returns=start.returns)
    try:
        hook_runner.run(Phase.ASAP)
    except Interrupted:
        if start.again:
            raise
        return ExitCode.OK
    who = _check(settings, again=start.again)
    rules = "\n".join(text for _, text, _ in settings.routes)
    lines += [
        f"log-format: unknown field %({name}), '-' is written for it" for name in unknown_fields(settings.logs, rules)
    ]
    lines += identity.assume(identity.resolve_immediate(settings.identity))
    if start.again:
        foreground = None
        daemon = settings.system.daemonize or settings.system.daemonize2
        lines += keep_log(settings.logs, daemon=daemon, is_confined=bool(settings.identity.chroot))
    else:
        foreground = _detach(settings)
    try:
        code = _run(settings, who, lines, hook_runner, start=start, foreground=foreground)
    except Interrupted:
        if start.again:
            raise
        code = ExitCode.OK
        log("goodbye to uWSGI.")  # told to stop while it waited for something at its start
    except ServerError as error:
        if foreground is not None:
            foreground.tell(error.exit_code)
        raise
    if foreground is not None:
        foreground.tell(code)  # told to end before it was ready
    return code


def _run(
    settings: Settings,
    who: Identity,
    lines: Iterable[str],
    hook_runner: HookRunner,
    *,
    start: Start,
    foreground: Foreground | None,
) -> int:
    """`run_server` in the process that serves, with the log open."""
    _log_lines([banner.starting(uwsgi_deploy.__version__, time.time()), *lines, *banner.machine()])
    with ExitStack() as cleanup:
        adoption = start.adoption
        cleanup.enter_context(signals.handlers_restored(is_last=lambda: start.is_over))
        wakeup = None
        if settings.workers.master:
            if not start.again:  # an exec changes nothing about it
                _adopt_orphans()
            wakeup = signals.Wakeup()
            cleanup.callback(wakeup.close)
        _heed_signals(WATCHED_SIGNALS if wakeup else ())
        if not start.again:  # the former image held all of them back, and may have to obey them yet
            signals.release()
        vacuum = Vacuum(adoption.pidfiles)
        notifier = notifier_of(os.environ, os.getpid(), log, connected=adoption.keepsake("notifier"))
        if notifier is not None:
            cleanup.callback(notifier.close)
            vacuum.private.append(notifier.descriptor)
            notifier.send("STATUS=opening sockets")
        try:
            variables = change_environment(
                os.environ,
                remove=settings.application.unenv,
                directories=settings.application.envdir,
                known=adoption.keepsake("envdir") or {},
            )
            bound = listeners = _open_everything(
                settings, who, vacuum, hook_runner, adoption, is_checked=start.image is not None
            )
            gateway = None
            if settings.routers or adoption.keepsake("gateways"):
                gateway = import_module(GATEWAYS).open_gateway_sockets(settings, listeners, adoption, vacuum)
                listeners = gateway.for_workers
            touched = dict(adoption.keepsake(TOUCHED) or {})
            intakes, leaving_intakes = _open_intakes(settings, vacuum, adoption, touched) if wakeup else ((), ())
            milestones = Milestones(settings.identity, vacuum, foreground)
            if start.again:
                milestones.loaded()
                milestones.ready()
        except BaseException:
            vacuum.undo()
            raise
        cleanup.callback(hooks.at_exit, hooks.runner_of(settings))
        cleanup.callback(vacuum.clean if settings.identity.vacuum else vacuum.close)
        scoreboard = adoption.scoreboard(settings.workers.processes, settings.cores)
        backlog = listen_backlog(settings.sockets.listen)
        _log_lines(banner.interpreter())
        _log_lines(banner.limits(settings, backlog=backlog, shared_bytes=scoreboard.size))
        try:
            if settings.gateway.force_gateway and gateway is not None and wakeup is None:
                return int(import_module(KEEPER).route_alone(settings, gateway, notifier, milestones))
            if wakeup is None:
                return _serve_alone(settings, who, listeners, scoreboard, start.serve, notifier, milestones)
            resources = Resources(
                settings,
                listeners,
                scoreboard,
                start.serve,
                vacuum.private,
                intakes,
                milestones,
                leaving=adoption.leaving((*listeners, *(() if gateway is None else gateway.listeners_and_stats))),
                pidfiles=vacuum.pidfiles,
                write_pidfiles=vacuum.write_pidfiles,
                leaving_pidfiles=vacuum.unclaimed_pidfiles,
                image=start.image,
                previous=None if adoption.manifest is None else adoption.manifest.previous,
                stacks=StackChannel(adoption.keepsake("stacks")),
                keepsakes={
                    "envdir": (variables, ()),
                    TOUCHED: (touched, ()),
                    **tls.keepsake(bound),
                    **({} if gateway is None else {gateway.KEEPSAKE: gateway.keepsake}),
                    **({} if notifier is None else {"notifier": (notifier.descriptor, (notifier.descriptor,))}),
                },
                leaving_intakes=leaving_intakes,
                gateway=gateway,
            )
            vacuum.add_listeners(resources.leaving)
            return _supervise(resources, wakeup, adoption, Supervisor(notifier) if notifier else None)
        except ServerError:
            if start.again and not adoption.is_settled:
                vacuum.undo()
            vacuum.clean()
            raise


def _detach(settings: Settings) -> Foreground | None:
    """Open the log, and become a daemon if that is wanted; the process on the terminal, if it waits."""
    system = settings.system
    if (system.daemonize or system.daemonize2) and os.getpid() == 1:
        raise ConfigError("daemonize", "as PID 1 this process cannot go into the background: a container ends with it")
    terminal = os.dup(2) if system.daemonize2 else -1
    keeps_input = settings.daemons.daemons_honour_stdin or system.honour_stdin
    open_log(settings.logs, daemon=system.daemonize or system.daemonize2, keeps_input=keeps_input)
    try:
        if system.daemonize2:
            return detach_when_ready(system.daemonize2, terminal=terminal)
        if system.daemonize:
            detach()
    except OSError as error:
        raise ServerError(f"cannot go into the background: {error.strerror}") from None
    return None


# --- before anything is opened ----------------------------------------------------------------------------------------


def _check(settings: Settings, *, again: bool) -> Identity:
    """ConfigError for what cannot work; returns whom the server is to become.

    again: this process, or the one that it checks for, has done already what only root may do.
    """
    require_socket(settings)
    check_addresses(settings.sockets, settings.router_addresses)
    if settings.routers:
        import_module(GATEWAYS).check_gateways(settings)
    application = settings.application
    jail = "" if again else settings.identity.chroot
    if jail and os.geteuid() != 0:
        raise ConfigError("chroot", "only root may change the root of the file system")
    if jail and not os.path.isdir(jail):
        raise ConfigError("chroot", f"there is no directory {os.path.abspath(jail)}")
    chdir = application.chdir
    start = os.path.join(os.path.abspath(jail), chdir.lstrip("/")) if jail else os.path.abspath(chdir)
    if not os.path.isdir(start):
        raise ConfigError("chdir", f"there is no directory {start}")
    home = os.path.abspath(settings.system.force_cwd)
    if not os.path.isdir(home):
        raise ConfigError("force-cwd", f"there is no directory {home}")
    after = os.path.join(start, application.chdir2)
    if not os.path.isdir(after):
        raise ConfigError("chdir2", f"there is no directory {after}")
    if settings.has_workers:  # what is in the jail is for the process in the jail to see
        check_application(replace(application, home="") if jail else application)
    for directory in application.envdir:
        if not (os.path.isdir(directory) or again):
            raise ConfigError("envdir", f"there is no directory {os.path.abspath(directory)}")
    identity.resolve_immediate(settings.identity)
    if settings.sockets.chown_socket:
        identity.resolve_owner(settings.sockets.chown_socket, "chown-socket")
    for spec in daemon_specs(settings.daemons):
        identity_of(spec, settings.identity)
    return identity.resolve_identity(settings.identity)


def _adopt_orphans() -> None:
    """Workers become the master's children when the process between it and them exits."""
    try:
        prctl.become_subreaper()
    except OSError as error:
        if os.getpid() != 1:  # PID 1 adopts orphans anyway
            reason = f"this system does not let a process adopt orphans ({error.strerror})"
            raise ServerError(f"{reason}; run with master = false") from None


def _heed_signals(watched: Sequence[int]) -> None:
    """From now on a signal ends the server in an orderly way, whatever it is doing."""
    signals.heed(watched)
    if not watched:  # no master: until the worker has handlers of its own
        for number in signals.LIFE:
            signal.signal(number, signal.default_int_handler)


# --- opening and undoing ----------------------------------------------------------------------------------------------


def _open_everything(
    settings: Settings, who: Identity, vacuum: Vacuum, hook_runner: HookRunner, adoption: Adoption, *, is_checked: bool
) -> tuple[Listener, ...]:
    """Name, pid file, hooks, directory, sockets; then drop privileges.

    The hooks of the user run before the sockets are bound, as in uWSGI, unless the user is to be another one: sockets
    are bound before that.
    """
    titles.set_title(settings.identity, titles.MASTER if settings.workers.master else titles.worker_role(1))
    if settings.identity.umask is not None:
        os.umask(settings.identity.umask)
    add_pidfile(vacuum, settings.identity.pidfile, "pidfile")
    _log_lines(apply_limits(settings.system))
    serves_already = adoption.manifest is not None
    hooks.before_sockets(settings, hook_runner, serves_already=serves_already)
    changes_user = os.geteuid() == 0 and (who.uid is not None or who.gid is not None)
    if not changes_user:
        hook_runner.run(Phase.AS_USER)
    if not serves_already:
        hooks.wait_for_servers(settings)
    if settings.application.chdir:
        log(f"chdir() to {settings.application.chdir}")
        _change_directory(settings.application.chdir)
    if not settings.workers.master:
        log("*** WARNING: you are running uWSGI without its master process manager ***")
    _log_lines(describe_limits())
    listeners = bind_listeners(
        settings.sockets,
        owner=_socket_owner(settings, who),
        warn=log,
        activated=activated_sockets(os.environ, os.getpid()),
        former=adoption.listeners,
        routed=settings.router_addresses,
    )
    vacuum.add_listeners(listeners)
    _log_lines(listener.describe() for listener in listeners)
    former = adoption.keepsake("certificates")
    listeners = tls.equip(listeners, settings, former, is_checked=is_checked)
    if who.owner is None and os.geteuid() == 0:
        log("uWSGI running as root, you can use --uid/--gid/--chroot options")
    if settings.workers.master and os.geteuid() == 0:
        runtime_dir.prepare(0 if who.uid is None else who.uid)
    if problem := place.complaint(settings, os.environ):
        log(problem)
    if not identity.is_postponed(settings.identity):
        if changes_user:
            closed_code.import_in_time(who, settings)
        _log_lines(identity.assume(who))
        _log_lines(identity.root_warnings())
        if changes_user:
            _log_lines((*closed_code.warnings(), *tls.warnings(listeners)))
            hook_runner.run(Phase.AS_USER)
    if settings.logs.logto2:
        first = adoption.manifest is None
        send_log_to(settings.logs.logto2, "logto2", truncate=settings.logs.log_truncate and first)
    add_pidfile(vacuum, settings.identity.pidfile2, "pidfile2")
    return listeners


def _open_intakes(
    settings: Settings, vacuum: Vacuum, adoption: Adoption, touched: dict[str, object]
) -> tuple[tuple[Intake, ...], tuple[Entrance, ...]]:
    """Ways in for commands, and those of the former image; opened as the user that the server became."""
    entrances, leaving = open_entrances(settings, os.environ, adoption.keepsake(ENTRANCES) or {})
    for entrance in (*entrances, *leaving):
        vacuum.add_intake(entrance)
    watching = [intake for intake in (touch_files(settings, touched), log_limit(settings.logs)) if intake is not None]
    return (*entrances, *watching), leaving


def _change_directory(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise ConfigError("chdir", f"cannot change to {path}: {error.strerror}") from None


def _socket_owner(settings: Settings, who: Identity) -> tuple[int, int] | None:
    """Whom Unix sockets belong to: chown-socket's user, else the one the server becomes (uWSGI binds as that one)."""
    if settings.sockets.chown_socket:
        return identity.resolve_owner(settings.sockets.chown_socket, "chown-socket")
    return who.owner if os.geteuid() == 0 else None


# --- serving ----------------------------------------------------------------------------------------------------------


def _supervise(resources: Resources, wakeup: signals.Wakeup, adoption: Adoption, supervisor: Supervisor | None) -> int:
    log(banner.master_spawned(os.getpid(), again=adoption.manifest is not None))
    master = Master(resources, wakeup, adoption, supervisor)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    master.run()
    return ExitCode.OK


def _serve_alone(
    settings: Settings,
    who: Identity,
    listeners: tuple[Listener, ...],
    scoreboard: Scoreboard,
    serve: Serve,
    notifier: Notifier | None,
    milestones: Milestones,
) -> int:
    """Without a master this process is the worker."""
    if notifier is not None and notifier.watchdog is not None:
        log("*** WARNING: without a master the service manager gets no signs of life: unset WatchdogSec ***")
    forget_manager(os.environ)
    try:
        if settings.recycling.limit_as:
            log(limit_address_space(settings.recycling.limit_as))
        api = uwsgi_module.install(Surroundings(settings, listeners, scoreboard, master_pid=0))
        application = load(settings, api)
        if identity.is_postponed(settings.identity):
            _log_lines(identity.assume(who))
            hooks.runner_of(settings).run(Phase.AS_USER)
        if who.capabilities is not None:
            forget_ambient()
        milestones.loaded()
        scoreboard.occupy(1, 0, generation=1, started=int(time.time()))
        log("*** uWSGI is running in single interpreter mode ***")
        log(banner.only_worker(os.getpid(), settings.cores))
        log(banner.ready(1))
        api.enter_worker(1)
        hooks.runner_of(settings).run(Phase.POST_FORK)
        api.run(uwsgi_module.POST_FORK)
        prepared, after_request = prepare(settings, listeners), api.hook(uwsgi_module.AFTER_REQUEST)
        context = WorkerContext(settings, listeners, 1, scoreboard, None, prepared, after_request=after_request)
        milestones.ready()
        if notifier is not None:
            notifier.send("READY=1", f"MAINPID={os.getpid()}", "STATUS=1 worker serves, without a master")
        code = serve(context, application)
        if not settings.system.skip_atexit:
            api.run(uwsgi_module.AT_EXIT)
    except KeyboardInterrupt:
        code = ExitCode.OK  # told to end while the application was loaded
    if notifier is not None:
        notifier.send("STOPPING=1")
    log("goodbye to uWSGI.")
    return code


def _log_lines(lines: Iterable[str]) -> None:
    for line in lines:
        log(line)
