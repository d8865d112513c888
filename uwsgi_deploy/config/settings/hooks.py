"""What is run at the phases of the server's life, and what start-up waits for."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds

_ACTION = "Do this (ACTION:ARGUMENTS)"
_COMMAND = "Run this shell command"
_FUNCTION = "Call this Python function (MODULE:FUNCTION)"
_MOUNT = "Mount a file system (TYPE SOURCE TARGET [FLAGS])"
_UMOUNT = "Unmount a file system (TARGET [FLAGS])"

_ASAP = "first of all, before addresses, directories and the log are looked at. Repeatable."
_PRE_JAIL = "before chroot; at the start, not at a reload. Repeatable."
_POST_JAIL = "after chroot, if there is one; at the start, not at a reload. Repeatable."
_IN_JAIL = "when the server is where it stays, before the hooks of root. Repeatable."
_AS_ROOT = "as root, before the sockets are bound; not at all if the server is not started by root. Repeatable."
_AS_USER = "as the user that the server becomes. Repeatable."
_AT_EXIT = "when the server has ended and removed its files; failures are only logged. Repeatable."
_PRE_APP = "before the application is loaded, in the process that loads it. Repeatable."
_POST_APP = "after the application was loaded, in the process that loaded it. Repeatable."


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Per phase: hooks, then mounts, then commands, then functions, each in the order they were written."""

    hook_asap: tuple[str, ...] = option((), help=f"{_ACTION} {_ASAP}")
    hook_pre_jail: tuple[str, ...] = option((), help=f"{_ACTION} {_PRE_JAIL}")
    hook_post_jail: tuple[str, ...] = option((), help=f"{_ACTION} {_POST_JAIL}")
    hook_in_jail: tuple[str, ...] = option((), help=f"{_ACTION} {_IN_JAIL}")
    hook_as_root: tuple[str, ...] = option((), help=f"{_ACTION} {_AS_ROOT}")
    hook_as_user: tuple[str, ...] = option((), help=f"{_ACTION} {_AS_USER}")
    hook_as_user_atexit: tuple[str, ...] = option((), help=f"{_ACTION} {_AT_EXIT}")
    hook_pre_app: tuple[str, ...] = option((), help=f"{_ACTION} {_PRE_APP}")
    hook_post_app: tuple[str, ...] = option((), help=f"{_ACTION} {_POST_APP}")
    hook_post_fork: tuple[str, ...] = option((), help=f"{_ACTION} in each new worker, first of all. Repeatable.")
    hook_accepting: tuple[str, ...] = option(
        (), help=f"{_ACTION} in each worker as the last thing before it accepts. Repeatable."
    )
    hook_accepting_once: tuple[str, ...] = option(
        (), help=f"{_ACTION} as hook-accepting, in the first process of each worker number only. Repeatable."
    )
    hook_accepting1: tuple[str, ...] = option((), help=f"{_ACTION} as hook-accepting, in worker 1 only. Repeatable.")
    hook_accepting1_once: tuple[str, ...] = option(
        (), help=f"{_ACTION} as hook-accepting-once, in worker 1 only. Repeatable."
    )
    hook_master_start: tuple[str, ...] = option(
        (), help=f"{_ACTION} in the master when all workers accept; unix_signal holds from its start. Repeatable."
    )

    exec_asap: tuple[str, ...] = option((), help=f"{_COMMAND} {_ASAP}")
    exec_pre_jail: tuple[str, ...] = option((), help=f"{_COMMAND} {_PRE_JAIL}")
    exec_post_jail: tuple[str, ...] = option((), help=f"{_COMMAND} {_POST_JAIL}")
    exec_in_jail: tuple[str, ...] = option((), help=f"{_COMMAND} {_IN_JAIL}")
    exec_as_root: tuple[str, ...] = option((), help=f"{_COMMAND} {_AS_ROOT}")
    exec_as_user: tuple[str, ...] = option((), help=f"{_COMMAND} {_AS_USER}")
    exec_as_user_atexit: tuple[str, ...] = option((), help=f"{_COMMAND} {_AT_EXIT}")
    exec_pre_app: tuple[str, ...] = option((), help=f"{_COMMAND} {_PRE_APP}")
    exec_post_app: tuple[str, ...] = option((), help=f"{_COMMAND} {_POST_APP}")

    call_asap: tuple[str, ...] = option((), help=f"{_FUNCTION} {_ASAP}")
    call_pre_jail: tuple[str, ...] = option((), help=f"{_FUNCTION} {_PRE_JAIL}")
    call_post_jail: tuple[str, ...] = option((), help=f"{_FUNCTION} {_POST_JAIL}")
    call_in_jail: tuple[str, ...] = option((), help=f"{_FUNCTION} {_IN_JAIL}")
    call_as_root: tuple[str, ...] = option((), help=f"{_FUNCTION} {_AS_ROOT}")
    call_as_user: tuple[str, ...] = option((), help=f"{_FUNCTION} {_AS_USER}")
    call_as_user_atexit: tuple[str, ...] = option((), help=f"{_FUNCTION} {_AT_EXIT}")
    call_pre_app: tuple[str, ...] = option((), help=f"{_FUNCTION} {_PRE_APP}")
    call_post_app: tuple[str, ...] = option((), help=f"{_FUNCTION} {_POST_APP}")

    mount_asap: tuple[str, ...] = option((), help=f"{_MOUNT} {_ASAP}")
    mount_pre_jail: tuple[str, ...] = option((), help=f"{_MOUNT} {_PRE_JAIL}")
    mount_post_jail: tuple[str, ...] = option((), help=f"{_MOUNT} {_POST_JAIL}")
    mount_in_jail: tuple[str, ...] = option((), help=f"{_MOUNT} {_IN_JAIL}")
    mount_as_root: tuple[str, ...] = option((), help=f"{_MOUNT} {_AS_ROOT}")
    umount_asap: tuple[str, ...] = option((), help=f"{_UMOUNT} {_ASAP}")
    umount_pre_jail: tuple[str, ...] = option((), help=f"{_UMOUNT} {_PRE_JAIL}")
    umount_post_jail: tuple[str, ...] = option((), help=f"{_UMOUNT} {_POST_JAIL}")
    umount_in_jail: tuple[str, ...] = option((), help=f"{_UMOUNT} {_IN_JAIL}")
    umount_as_root: tuple[str, ...] = option((), help=f"{_UMOUNT} {_AS_ROOT}")

    wait_for_interface: tuple[str, ...] = option(
        (), "wait-for-iface", help="At the start wait until this network interface is up. Repeatable."
    )
    wait_for_interface_timeout: Seconds = option(
        60.0, "wait-for-iface-timeout", help="How long wait-for-interface waits before the start is given up."
    )
    wait_for_fs: tuple[str, ...] = option((), help="At the start wait until this path exists. Repeatable.")
    wait_for_file: tuple[str, ...] = option((), help="At the start wait until this regular file exists. Repeatable.")
    wait_for_dir: tuple[str, ...] = option((), help="At the start wait until this directory exists. Repeatable.")
    wait_for_mountpoint: tuple[str, ...] = option(
        (), help="At the start wait until a file system is mounted at this directory. Repeatable."
    )
    wait_for_fs_timeout: Seconds = option(
        60.0,
        "wait-for-file-timeout",
        "wait-for-dir-timeout",
        "wait-for-mountpoint-timeout",
        help="How long wait-for-fs, -file, -dir and -mountpoint wait before the start is given up.",
    )
    wait_for_socket: tuple[str, ...] = option(
        (),
        help="Before the application is loaded wait until this address (host:port, /path, @abstract) takes "
        "connections. Repeatable.",
    )
    wait_for_socket_timeout: Seconds = option(60.0, help="How long wait-for-socket waits before the start is given up.")
