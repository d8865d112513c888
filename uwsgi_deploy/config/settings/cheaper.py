"""How many workers there are at a time: cheaper, idle."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Bytes, Seconds

ALGORITHMS = ("spare", "spare2", "backlog", "busyness", "manual")


@dataclass(frozen=True, slots=True)
class CheaperSettings:
    """The number of workers between `cheaper` and `processes`, by load; and a server that nobody uses."""

    cheaper: int = option(0, help="Keep at least this many workers and start more by load, up to processes; 0 is off.")
    cheaper_initial: int = option(0, help="Workers to start with; 0 means as many as cheaper.")
    cheaper_step: int = option(1, help="Workers to start at once when more are needed.")
    cheaper_algo: str = option(
        "spare", choices=ALGORITHMS, help="What tells that workers are missing or needless: see docs/cheaper.md."
    )
    cheaper_overload: int = option(
        3, help="Spare: seconds without an idle worker; backlog: waiting clients; busyness: seconds to average over."
    )
    cheaper_idle: int = option(10, help="Spare2: seconds with needless workers before one is stopped.")
    cheaper_rss_limit_soft: Bytes = option(
        0, help="Start no more workers when all together use this much memory; 0 means no limit."
    )
    cheaper_rss_limit_hard: Bytes = option(
        0, help="Stop workers, down to cheaper, while all together use this much memory; 0 means no limit."
    )
    cheaper_busyness_max: int = option(50, help="Busyness: start workers above this average, in percent.")
    cheaper_busyness_min: int = option(25, help="Busyness: stop a worker below this average, in percent.")
    cheaper_busyness_multiplier: int = option(10, help="Busyness: windows to wait before a worker is stopped.")
    cheaper_busyness_penalty: int = option(
        2, help="Busyness: windows to wait longer when a worker was missed soon after it had been stopped."
    )
    cheaper_busyness_verbose: bool = option(False, help="Busyness: write each window's average into the log.")
    cheaper_busyness_backlog_alert: int = option(33, help="Busyness: waiting clients that make an emergency.")
    cheaper_busyness_backlog_multiplier: int = option(
        3, help="Busyness: windows to wait before a worker that was started in an emergency is stopped."
    )
    cheaper_busyness_backlog_step: int = option(1, help="Busyness: workers to start in an emergency.")
    cheaper_busyness_backlog_nonzero: Seconds = option(
        60.0, help="Busyness: clients that have been waiting all this time make an emergency, too."
    )
    idle: Seconds = option(
        0.0, help="Stop all workers when nobody has asked for anything this long; the next client wakes them. 0 is off."
    )
    cheap: bool = option(False, help="Start without workers; the first client wakes them.")
    die_on_idle: bool = option(False, help="Stop the server, not only its workers, after idle.")
    die_on_no_workers: bool = option(False, help="Stop the server when its last worker was stopped.")
