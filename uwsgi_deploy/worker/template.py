"""The template: a process that loads the application once, freezes its heap, and forks workers when the master says so.

A worker is forked twice so that the master, which adopts orphans, becomes its parent; the template holds nothing that a
client could notice, and ends when the master closes their channel or dies, or when it is told to. With lazy-apps it
loads nothing and each worker loads its own copy. Never serves, never decides.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import FrameType

from uwsgi_deploy import native
from uwsgi_deploy.api import module as uwsgi_module
from uwsgi_deploy.api.functions import Surroundings
from uwsgi_deploy.api.module import Api
from uwsgi_deploy.config.hooks import Phase
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.static import serves_files
from uwsgi_deploy.errors import AppLoadError, ServerError
from uwsgi_deploy.logs import banner
from uwsgi_deploy.logs.setup import log, reopen_if_moved
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.process import identity, prctl, signals, titles
from uwsgi_deploy.process.capabilities import forget_ambient
from uwsgi_deploy.process.command import Interrupted
from uwsgi_deploy.process.confinement import limit_address_space
from uwsgi_deploy.process.exit_codes import ExitCode
from uwsgi_deploy.process.finish import finish_interpreter
from uwsgi_deploy.process.fork import fork_adopted
from uwsgi_deploy.process.hooks import HookFailed, HookRunner
from uwsgi_deploy.process.notify import forget_manager
from uwsgi_deploy.process.pages import forget_mapped_files
from uwsgi_deploy.reports.place import has_pending, place_of
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.shared.stack_dump import StackChannel
from uwsgi_deploy.worker import channel
from uwsgi_deploy.worker.ballast import fill_pools
from uwsgi_deploy.worker.channel import ReopenLog, Spawned, SpawnFailed, SpawnWorker, TemplateReady
from uwsgi_deploy.worker.engines.choice import patch_early
from uwsgi_deploy.worker.gathering import gather
from uwsgi_deploy.worker.imported import Reporter
from uwsgi_deploy.worker.lazy_parts import is_django_used, load_lazy_parts
from uwsgi_deploy.worker.often_run import places
from uwsgi_deploy.worker.prepared import Prepared, prepare
from uwsgi_deploy.worker.rehearsal import rehearse
from uwsgi_deploy.worker.undertaker import has_died, kill_after_mercy
from uwsgi_deploy.worker.worker import WorkerContext
from uwsgi_deploy.wsgi.loader import Application, import_application, prepare_environment, refuse_everything

Serve = Callable[[WorkerContext, Application], int]

# Ctrl-Z in a terminal goes to all processes: the master pauses the workers, nobody is stopped.
HEEDED = (*signals.LIFE, signal.SIGTSTP)
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
# Loaded when something is mounted only.
_MOUNTS = "uwsgi_deploy.wsgi.apps"
# … when packets of somebody are obeyed.
_PACKETS = "uwsgi_deploy.wsgi.packet_variables"
# What a stopping worker waits at most for the application's non-daemon threads and exit handlers.
LONGEST_FINISH = 10.0
# Loaded where files are to be served.
_HSTS = "uwsgi_deploy.wsgi.hsts"
_STATIC = "uwsgi_deploy.wsgi.static"
# Loaded for Django applications.
_DJANGO = "uwsgi_deploy.worker.django_rehearsal"


@dataclass(frozen=True, slots=True)
class TemplateContext:
    """What a template is told at its birth. `serve` is the worker's life (`worker.run_worker`)."""

    settings: Settings
    listeners: tuple[Listener, ...]
    scoreboard: Scoreboard
    generation: int
    master_pid: int
    channel: socket.socket
    serve: Serve
    stacks: StackChannel
    reporter: Reporter | None = None


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What workers are forked with. application: None with lazy-apps. kept: ballast and originals, see there. reports:
    the directory where reports of late requests are kept, if any."""

    application: Application | None
    api: Api
    prepared: Prepared
    kept: list[object]
    reports: str


def run_template(context: TemplateContext) -> int:
    """The life of a template process, in a process of its own; returns its exit code."""
    signals.heed(HEEDED)
    prctl.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != context.master_pid:
        return ExitCode.FAILED  # the master died before the line above could notice
    titles.set_title(context.settings.identity, titles.TEMPLATE)
    forget_manager(os.environ)
    if context.settings.recycling.limit_as:
        log(limit_address_space(context.settings.recycling.limit_as))
    started = time.monotonic()
    api = uwsgi_module.install(
        Surroundings(context.settings, context.listeners, context.scoreboard, context.master_pid)
    )
    application = None
    if not context.settings.application.lazy_apps:
        try:
            application = load(context.settings, api)
        except ServerError as error:
            return _report_failure(context, error, serial=0)
        except Interrupted:
            return ExitCode.OK  # somebody stops the whole server
        _load_lazy_parts(context.reporter)
        _make_safe_to_fork()
        signals.heed(HEEDED)  # the application may have put handlers of its own in place of these
    if context.reporter is not None:
        context.reporter.report_modules()
    _forget_looked_up_names()
    if context.settings.identity.drop_after_apps:
        try:
            _become_user(context.settings)
        except ServerError as error:
            return _report_failure(context, error, serial=0)
        prctl.set_parent_death_signal(signal.SIGKILL)  # the change of user cleared it
    elif context.settings.identity.cap:
        forget_ambient()
    prctl.become_dumpable()  # to the master, which may have to answer in a worker's place
    originals = gather(places())
    rehearse()
    if application is not None and "django.core.handlers.wsgi" in sys.modules and is_django_used():
        import_module(_DJANGO).rehearse_django()
    context.stacks.register()
    prepared = prepare(context.settings, context.listeners)
    gc.collect()
    forget_mapped_files()
    place = place_of(context.settings, os.environ)
    inheritance = Inheritance(
        application, api, prepared, [originals, fill_pools()], "" if place is None else place.directory
    )
    gc.freeze()  # workers share these pages as long as no collection writes into their headers
    context.channel.send(channel.encode(TemplateReady(time.monotonic() - started)))
    _obey(context, inheritance)
    return ExitCode.OK


def load(settings: Settings, api: Api) -> Application:
    """Load the application between its hooks and say so in the log.

    Without need-app, what cannot be loaded is replaced by answer 500. Raises HookFailed, HookExit and Interrupted, too.
    """
    hooks = _hooks_of(settings)
    prepare_environment(settings.application)
    patch_early(settings)
    hooks.run(Phase.PRE_APP)
    started = time.monotonic()
    application = _load(settings)
    if settings.packets.uwsgi_allow_from:
        application = import_module(_PACKETS).obey(settings, application)
    if serves_files(settings.static):
        application = import_module(_STATIC).serve_files(settings.static, application, log=log)
    if settings.tls.hsts:
        application = import_module(_HSTS).StrictTransport(application, settings.tls.hsts)
    api.loaded(time.monotonic() - started)
    hooks.run(Phase.POST_APP)
    return application


def _hooks_of(settings: Settings) -> HookRunner:
    """The runner in a process that holds the application, where its modules can be imported."""
    return HookRunner(settings, prepare_imports=lambda: None, log=log)


def _load(settings: Settings) -> Application:
    started = time.monotonic()
    before = set(_open_sockets())

    def ready(number: int, point: str, is_default: bool) -> str:
        passed = time.monotonic() - started
        return banner.application_ready(passed, os.getpid(), number=number, point=point, is_default=is_default)

    application: Application
    mounts = settings.application.mount
    try:
        if mounts:
            application = import_module(_MOUNTS).load_mounts(settings.application, import_application, ready)
        else:
            application = import_application(settings.application)
    except AppLoadError as error:
        if settings.application.need_app:
            raise
        _log_details(error)
        log("*** no app loaded. going in full dynamic mode ***")
        return refuse_everything
    for line in _socket_warnings(before):
        log(line)
    if not mounts:
        log(ready(0, "", True))
    return application


def _log_details(error: ServerError) -> None:
    details = getattr(error, "details", "")
    if details:
        log(details)
    log(str(error))


def _report_failure(context: TemplateContext, error: ServerError, *, serial: int) -> int:
    details = getattr(error, "details", "")
    if context.reporter is not None:
        context.reporter.report_failure(error)
    context.channel.send(channel.encode(channel.load_failed(serial, str(error), details, error.exit_code)))
    return ExitCode.HOOK_FAILED if isinstance(error, HookFailed) else ExitCode.NO_APPLICATION


# --- forking workers --------------------------------------------------------------------------------------------------


def _obey(context: TemplateContext, inheritance: Inheritance) -> None:
    """Fork a worker for every order until the master closes the channel, or dies.

    A signal that stops the whole server (Ctrl-C, Heroku) ends the template, too, so that the listening sockets close
    with the workers; but never between an order and its answer.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    if context.settings.workers.no_orphans:
        signal.signal(signal.SIGTERM, _told_to_end)
        prctl.set_parent_death_signal(signal.SIGTERM)
    try:
        _obey_orders(context, inheritance)
    except (_ToldToEnd, ConnectionError):
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    if context.settings.workers.no_orphans and has_died(context.master_pid, context.channel):
        kill_after_mercy(context.scoreboard.pids())


class _ToldToEnd(Exception):
    """SIGTERM, by whoever stops the server or by the kernel because the master died."""


def _told_to_end(_number: int, _frame: FrameType | None) -> None:
    raise _ToldToEnd


def _obey_orders(context: TemplateContext, inheritance: Inheritance) -> None:
    while True:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        order = channel.receive(context.channel)
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        if order is None:
            return
        if isinstance(order, ReopenLog) and (complaint := reopen_if_moved()):
            log(f"template: {complaint}")
        if isinstance(order, SpawnWorker):
            context.channel.send(channel.encode(_spawn(context, inheritance, order)))


def _spawn(context: TemplateContext, inheritance: Inheritance, order: SpawnWorker) -> Spawned | SpawnFailed:
    # Looked up here, because what a worker does costs memory in each of them.
    expects_reports = order.follows_victim or has_pending(inheritance.reports)
    try:
        pid = fork_adopted(
            lambda: _live_as_worker(context, inheritance, order, expects_reports=expects_reports), reset=signals.LIFE
        )
    except OSError as error:
        return SpawnFailed(order.serial, error.strerror or str(error))
    return Spawned(order.serial, pid)


def _live_as_worker(
    context: TemplateContext, inheritance: Inheritance, order: SpawnWorker, *, expects_reports: bool
) -> int:
    """From the fork to the exit of a worker process."""
    _part_from_siblings()
    settings, application, api = context.settings, inheritance.application, inheritance.api
    if settings.identity.master_as_root:
        try:
            _become_user(settings)
        except ServerError as error:
            return _report_failure(context, error, serial=order.serial)
    if not _die_with_master(settings, context.master_pid):
        return ExitCode.FAILED
    titles.set_title(settings.identity, titles.worker_role(order.wid))
    context.scoreboard.occupy(order.wid, order.bank, generation=context.generation, started=int(time.time()))
    api.enter_worker(order.wid)
    try:
        if inheritance.prepared.has_hooks:
            _hooks_of(settings).run(Phase.POST_FORK)
        if application is None:
            application = load(settings, api)
        api.run(uwsgi_module.POST_FORK)
    except ServerError as error:
        code = _report_failure(context, error, serial=order.serial)
        finish_interpreter(code, time_limit=LONGEST_FINISH)
        return code
    except Interrupted:
        return ExitCode.OK
    context.channel.close()
    if context.reporter is not None:
        context.reporter.report_modules()
        context.reporter.follow()
    worker = WorkerContext(
        settings,
        context.listeners,
        order.wid,
        context.scoreboard,
        context.master_pid,
        inheritance.prepared,
        is_first=order.is_first,
        expects_reports=expects_reports,
        after_request=api.hook(uwsgi_module.AFTER_REQUEST),
    )
    try:
        code = context.serve(worker, application)
    except HookFailed as error:
        log(str(error))
        code = ExitCode.HOOK_FAILED
    if not settings.system.skip_atexit:
        api.run(uwsgi_module.AT_EXIT)
        finish_interpreter(code, time_limit=min(LONGEST_FINISH, settings.workers.worker_reload_mercy or LONGEST_FINISH))
    return code


def _become_user(settings: Settings) -> None:
    """Drop privileges here and not in the master, with the hooks that follow; the application's programs get none."""
    for line in identity.assume(identity.resolve_identity(settings.identity)):
        log(line)
    if settings.identity.cap:
        forget_ambient()
    _hooks_of(settings).run(Phase.AS_USER)


def _die_with_master(settings: Settings, master_pid: int) -> bool:
    """Ask for SIGTERM when the master ends; False when it has ended already.

    Only now that the master is the parent: the signal would also come when the template's child in between exits.
    """
    if not settings.workers.no_orphans:
        return True
    prctl.set_parent_death_signal(signal.SIGTERM)
    return os.getppid() == master_pid


def _part_from_siblings() -> None:
    """What must differ between workers that were forked from one process. `random` sees to its own state."""
    gevent = sys.modules.get("gevent")
    if gevent is not None:
        gevent.reinit()  # an application that patched itself: its hub's event loop must not be shared


# --- what is better done before a fork --------------------------------------------------------------------------------


def _load_lazy_parts(reporter: Reporter | None) -> None:
    """Load what the framework would load with the first request of each worker."""
    try:
        load_lazy_parts()
    except Exception as error:  # the project's own code; Django shows this error with each request, too
        log(f"*** WARNING: the URL configuration cannot be loaded: {error!r} ***")
        if reporter is not None:
            reporter.report_failure(error)


def _forget_looked_up_names() -> None:
    """Empty the interpreter's cache of attribute lookups, which importing an application fills with thousands of names.

    It holds a reference to each: a worker that replaces an entry would write into the page of a name that nobody needs
    any more, and copy it. The rehearsal that follows puts in what workers do need.
    """
    if sys.version_info < (3, 13):  # where it is deprecated
        sys._clear_type_cache()


# --- what is unsafe to share over a fork ------------------------------------------------------------------------------


def _make_safe_to_fork() -> None:
    """Close what libraries are known to hold open; all others are only warned about."""
    database = sys.modules.get("django.db")
    if database is None or not is_django_used():
        return
    try:
        database.connections.close_all()
    except Exception as error:  # any database driver's; the workers would inherit the broken connection
        log(f"*** WARNING: Django's database connections cannot be closed before forking: {error!r} ***")


def _socket_warnings(before: set[str]) -> Iterator[str]:
    for target, descriptor in _open_sockets().items():
        peer = None if target in before else _peer(descriptor)
        if peer:
            yield (
                f"*** WARNING: the application opened a connection to {peer} (fd {descriptor}) while it was imported; "
                "workers would share it, and each other's answers: connect at first use, or set lazy-apps ***"
            )


def _open_sockets() -> dict[str, int]:
    """`socket:[inode]` -> descriptor of every socket of this process."""
    found: dict[str, int] = {}
    if not os.path.isdir("/proc/self/fd"):
        return found  # a jail without /proc
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of the listing itself
        if target.startswith("socket:"):
            found[target] = int(name)
    return found


def _peer(descriptor: int) -> str:
    """Whom a socket is connected to; "" for one that is not, or only to this process itself (an event loop's pair)."""
    with native.socket(fileno=os.dup(descriptor)) as copy:
        try:
            peer = copy.getpeername()
        except OSError:
            return ""
    if isinstance(peer, tuple):
        return f"{peer[0]}:{peer[1]}"
    return os.fsdecode(peer) if isinstance(peer, bytes) else str(peer)
