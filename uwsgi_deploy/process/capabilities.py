"""Linux capabilities: what a process that is not root any more may still do (capabilities(7)).

Kept are the permitted and effective sets, and the ambient one of the master, so that it still has them when it executes
itself again; children that run applications give the ambient set up (`forget_ambient`), so that programs which an
application starts get nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from uwsgi_deploy.errors import ConfigError

PR_CAPBSET_DROP = 24
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_IS_SET = 1
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
# struct __user_cap_header_struct: version and process; the version has two words of 32 capabilities per set.
VERSION_3 = 0x20080522

# The order is their number (linux/capability.h).
_NAMES = """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"""
NAMES = tuple(_NAMES.split())
NUMBERS = {name: number for number, name in enumerate(NAMES)}


def capability_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a comma-separated list of names, with or without `cap_`; ConfigError for a wrong one."""
    numbers = []
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        name = word.removeprefix("cap_")
        if name not in NUMBERS:
            raise ConfigError("cap", f"there is no capability {word!r}", hint=f"known are {', '.join(NAMES)}")
        numbers.append(NUMBERS[name])
    return tuple(dict.fromkeys(numbers))


def keep_over_setuid() -> None:
    """Let the next change of user leave the permitted set as it is. OSError where the kernel refuses."""
    _prctl(PR_SET_KEEPCAPS, 1)


def restrict_to(numbers: Collection[int]) -> None:
    """Give up all capabilities but these, for good: root cannot get others back by an exec. OSError if refused."""
    if os.getuid() == 0:
        for number in range(_last() + 1):
            if number not in numbers:
                _prctl(PR_CAPBSET_DROP, number)
    _set(numbers)
    for number in numbers:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)


def are_held(numbers: Collection[int]) -> bool:
    """Whether the ambient set has all of these: a master that kept them executed itself, or systemd gave them."""
    return all(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number) for number in numbers)


def forget_ambient() -> None:
    """Programs that this process starts get no capabilities. OSError where the kernel refuses."""
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def _last() -> int:
    """The highest capability that this kernel knows."""
    try:
        with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return len(NAMES) - 1


def _set(numbers: Collection[int]) -> None:
    import ctypes  # as in `prctl`: only processes that call it pay

    words = [sum(1 << (number - base) for number in numbers if base <= number < base + 32) for base in (0, 32)]
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    # effective, permitted, inheritable; of the low capabilities, then of the high ones
    data = (ctypes.c_uint32 * 6)(*(word for word in words for _ in range(3)))
    _checked(ctypes.CDLL(None, use_errno=True).capset(header, data), "capset")


def _prctl(option: int, first: int, second: int = 0) -> int:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    return _checked(library.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), 0, 0), f"prctl({option})")


def _checked(result: int, call: str) -> int:
    import ctypes

    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result
