"""The `uwsgi` module: put into `sys.modules` before the application is imported, in the process that loads it.

Its attributes are uWSGI's, as far as they are true here. Asking for another one is an AttributeError that says whether
uWSGI has it, so that libraries which probe with `hasattr` or `getattr` take their other way. The application may put
functions into the module that are called later (`HOOKS`).
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import ModuleType

from uwsgi_deploy.api import kept_reports
from uwsgi_deploy.api.functions import Functions, Surroundings, public
from uwsgi_deploy.api.options import options_of
from uwsgi_deploy.config.settings.application import ApplicationSettings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.process.age import age
from uwsgi_deploy.wsgi.environ import COMPATIBLE_VERSION

NAME = "uwsgi"

# Assigned by applications: post_fork_hook() in each worker after its birth, after_req_hook() after each request,
# atexit() when a worker ends.
POST_FORK, AFTER_REQUEST, AT_EXIT = HOOKS = ("post_fork_hook", "after_req_hook", "atexit")

# What uWSGI's module has and this one has not, yet or ever.
_NOT_HERE = """\
spoolers SPOOL_RETRY SPOOL_OK SPOOL_IGNORE magic_table mode start_response env is_a_reload queue_size
mule_msg_recv_size log_this_request set_logvar get_logvar alarm logsize accepting set_warning_message cl
add_var ready_fd parsefile embedded_data extract i_am_the_lord lord_scroll scrolls route sendfile
offload mule_file spooler_dir register_signal signal signal_wait signal_received signal_registered add_timer
add_ms_timer add_rb_timer add_cron add_file_monitor lock unlock is_locked cache_get cache_set cache_update cache_del
cache_exists cache_clear cache_inc cache_dec cache_mul cache_div cache_num cache_keys queue_push queue_pull
queue_pop queue_get queue_set queue_last queue_slot queue_pull_slot sharedarea_read sharedarea_write
sharedarea_read8 sharedarea_read16 sharedarea_read32 sharedarea_read64 sharedarea_readbyte sharedarea_readlong
sharedarea_write8 sharedarea_write16 sharedarea_write32 sharedarea_write64 sharedarea_writebyte
sharedarea_writelong sharedarea_inc32 sharedarea_inc64 sharedarea_inclong sharedarea_dec32 sharedarea_dec64
sharedarea_rlock sharedarea_wlock sharedarea_unlock sharedarea_memoryview sharedarea_object spool send_to_spooler
set_spooler_frequency spooler_jobs spooler_pid spooler_pids spooler_get_task mule_msg farm_msg mule_get_msg
farm_get_msg in_farm install_mule_msg_hook register_rpc rpc call rpc_list async_sleep async_connect suspend
green_schedule wait_fd_read wait_fd_write connect is_connected send recv close chunked_read chunked_read_nb metric_inc
metric_dec metric_mul metric_div metric_set metric_get metric_set_max metric_set_min"""


class UwsgiModule(ModuleType):
    """See the module."""

    def __getattr__(self, name: str) -> object:
        if name in _NOT_HERE.split():
            raise AttributeError(f"uwsgi.{name} is not available in uwsgi-deploy yet", name=name, obj=self)
        raise AttributeError(f"module 'uwsgi' has no attribute {name!r}", name=name, obj=self)


class Api:
    """The module as the server handles it. None of the methods raises what the application's hooks do."""

    def __init__(self, module: ModuleType, surroundings: Surroundings) -> None:
        self._module, self._around = module, surroundings

    def loaded(self, seconds: float) -> None:
        """The application is there."""
        self._around.startup_time = seconds
        if self._module.__dict__.get("applications"):
            log("*** WARNING: uwsgi.applications is not looked at: only the application of the options is served ***")

    def enter_worker(self, wid: int) -> None:
        """This process is worker number `wid` from now on."""
        self._around.wid = wid

    def hook(self, name: str) -> Callable[[], object] | None:
        """A function that the application left in the module; its exceptions go to the log."""
        function = self._module.__dict__.get(name)
        if not callable(function):
            return None

        def call() -> None:
            try:
                function()
            except BaseException:
                log(f"uwsgi.{name} failed:\n{traceback.format_exc().rstrip()}")

        return call

    def run(self, name: str) -> None:
        """Call a hook if there is one."""
        if (hook := self.hook(name)) is not None:
            hook()


def install(surroundings: Surroundings) -> Api:
    """Make `import uwsgi` work in this process and those that are forked from it."""
    kept_reports.install(surroundings.settings)
    module = UwsgiModule(NAME, "The server that runs this process, as uWSGI shows itself.")
    vars(module).update(_attributes(surroundings), **dict(public(Functions(surroundings))))
    if _is_the_applications_own_name(surroundings.settings.application):
        log("*** WARNING: the application's module is called uwsgi: there is no uwsgi module of the server ***")
    else:
        sys.modules[NAME] = module
    return Api(module, surroundings)


def _is_the_applications_own_name(settings: ApplicationSettings) -> bool:
    return settings.module.partition(":")[0].partition(".")[0] == NAME


def _attributes(around: Surroundings) -> dict[str, object]:
    settings = around.settings
    numbers = tuple(map(int, COMPATIBLE_VERSION.split(b".")))
    attributes: dict[str, object] = {
        "version": COMPATIBLE_VERSION,
        "version_info": (*numbers, 0, b""),
        "hostname": socket.gethostname().encode("utf-8", "replace"),
        "numproc": settings.workers.processes,
        "cores": settings.cores,
        "has_threads": 1,
        "loop": "gevent" if settings.gevent.gevent else None,
        "unbit": None,
        "applications": None,
        "opt": options_of(settings.as_written, master=settings.workers.master),
        "sockets": [listener.socket.fileno() for listener in around.listeners],
        "buffer_size": settings.http.buffer_size,
        "started_on": int(time.time() - age(around.master_pid or os.getpid())),
    }
    if settings.identity.pidfile:
        attributes["pidfile"] = settings.identity.pidfile.encode("utf-8", "surrogateescape")
    return attributes
