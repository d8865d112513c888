"""How this interpreter was started, to start another one of its kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# The interpreter's own flags to the options that set them, each as often as its value says.
_FLAG_OPTIONS: Mapping[str, str] = {
    "debug": "-d",
    "dont_write_bytecode": "-B",
    "no_site": "-S",
    "verbose": "-v",
    "bytes_warning": "-b",
    "optimize": "-O",
    "quiet": "-q",
}
_ISOLATION_OPTIONS: Mapping[str, str] = {"ignore_environment": "-E", "no_user_site": "-s", "safe_path": "-P"}


def interpreter_options() -> list[str]:
    """The options that this interpreter was started with (`-W`, `-X`, `-O`, `-u` …), for another one of its kind."""
    options = [option for flag, option in _FLAG_OPTIONS.items() for _ in range(int(getattr(sys.flags, flag)))]
    if sys.flags.isolated:
        options.append("-I")  # implies the three others
    else:
        options += [option for flag, option in _ISOLATION_OPTIONS.items() if getattr(sys.flags, flag)]
    if getattr(sys.stdout, "write_through", False):
        options.append("-u")
    options += [f"-W{warning}" for warning in sys.warnoptions]
    for name, value in sys._xoptions.items():
        options += ["-X", name if value is True else f"{name}={value}"]
    return options
