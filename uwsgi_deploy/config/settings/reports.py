"""Where reports of late requests go (docs/harakiri-report.md)."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option

# What harakiri-sinks may name; without it all of them are used.
SINKS = ("log", "ring", "logger", "signal", "sentry", "opentelemetry", "hook")
# A value of harakiri-sinks and of harakiri-dir.
OFF = "off"


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Where reports of late requests go."""

    harakiri_sinks: tuple[str, ...] = option(
        (),
        help="Where reports of late requests go: log, ring, logger, signal, sentry, opentelemetry, hook (several with "
        "commas), or off; empty means all. Repeatable.",
    )
    harakiri_log_format: str = option(
        "human", help="A report in the log: a block to read, or one JSON record.", choices=("human", "json")
    )
    harakiri_dir: str = option(
        "", help="Directory that keeps reports as files; empty means a private default place, off means none."
    )
    harakiri_keep: int = option(50, help="How many reports harakiri-dir keeps; the oldest go.")
    harakiri_hook: tuple[str, ...] = option(
        (),
        help="Give each report, as JSON, to a program (exec:/path, standard input) or an address (https://..., POST). "
        "Repeatable.",
    )


def sinks_of(reports: ReportSettings) -> frozenset[str]:
    """The sinks that are to be used."""
    if not reports.harakiri_sinks:
        return frozenset(SINKS)
    return frozenset(names_in(reports.harakiri_sinks)) - {OFF}


def names_in(values: tuple[str, ...]) -> tuple[str, ...]:
    """The names in values such as `log, ring`."""
    return tuple(name for value in values for name in value.replace(",", " ").lower().split())
