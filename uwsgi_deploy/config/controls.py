"""Options that steer how configuration is read. They act before any setting exists, so they are no settings fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """One option of the configuration itself. `value_name` is empty for a flag."""

    name: str
    help: str
    value_name: str = ""
    aliases: tuple[str, ...] = ()
    short_flags: tuple[str, ...] = ()


CONTROLS: tuple[Control, ...] = (
    Control("ini", "Read options from this file; FILE:section and :section choose a section. Repeatable.", "FILE"),
    Control("include", "Read another file at this place.", "FILE", aliases=("config",)),
    Control("inherit", "Read another file after all others.", "FILE"),
    Control("set", "Set a variable, or an option, as a line of a file would.", "NAME=VALUE", short_flags=("-S",)),
    Control("set-placeholder", "Set a variable for %(name), never an option.", "NAME=VALUE", aliases=("set-ph",)),
    Control("print", "Write a line to the log at start.", "TEXT", aliases=("iprint",)),
    Control("strict", "Refuse unknown options wherever they come from."),
    Control("legacy-order", "Let the last option win, wherever it came from, in uWSGI's order."),
    Control("show-config", "Print the options that differ from the defaults and where they came from, then start."),
)

CONTROLS_BY_NAME: dict[str, Control] = {
    name: control for control in CONTROLS for name in (control.name, *control.aliases, *control.short_flags)
}
"""Every control under each of its names; short flags with their dash."""
