"""What policies may ask for: values that `master.executor` turns into system calls, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.shared.scoreboard import Running


@dataclass(frozen=True, slots=True)
class StartTemplate:
    """Load the application in a new template process."""


@dataclass(frozen=True, slots=True)
class StopTemplate:
    """Let a template end; one that does not is killed."""

    generation: int


@dataclass(frozen=True, slots=True)
class KillTemplate:
    """A template did not end in time."""

    generation: int


@dataclass(frozen=True, slots=True)
class OrderWorker:
    """Have the template fork worker `wid` into `bank` of its records."""

    wid: int
    bank: int


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Tell a worker to end with a signal; it has `grace` seconds before it is killed, None means for ever. `reason` is
    a line for the log."""

    serial: int
    signal: int
    grace: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recycle:
    """A worker has had its time: a successor is started, and when that serves the worker leaves."""

    serial: int
    reason: str


@dataclass(frozen=True, slots=True)
class Want:
    """From now on there is to be a worker with this number."""

    wid: int


@dataclass(frozen=True, slots=True)
class Cheapen:
    """From now on there is to be no worker with this number."""

    wid: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let all workers go until a client connects; `reason` is a line for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class WatchListeners:
    """Wake up when a client connects."""


@dataclass(frozen=True, slots=True)
class UnwatchListeners:
    """Leave clients to the workers."""


@dataclass(frozen=True, slots=True)
class EndServer:
    """Stop the server gracefully; `reason` is a line for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Say:
    """Write a line into the log."""

    line: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker that did not end in time."""

    serial: int


@dataclass(frozen=True, slots=True)
class Nudge:
    """A request is overdue, and nobody in its worker can do anything about it: have it interrupt itself, if it runs in
    the main thread and looks for signals. Not again before the instant `until`."""

    serial: int
    until: float


@dataclass(frozen=True, slots=True)
class AskForStacks:
    """A worker's request is overdue: have it show its stacks, and wait for them until the instant `until`. warns: for
    the graceful signal, which follows."""

    serial: int
    overdue: Running
    until: float
    warns: bool = False


@dataclass(frozen=True, slots=True)
class Warn:
    """Report an overdue request, send its worker the graceful signal; it has until `until`."""

    serial: int
    signal: int
    until: float


@dataclass(frozen=True, slots=True)
class Isolate:
    """Answer overdue requests whose worker did not; it takes no new ones, a successor is started, and its other cores
    may finish. It is looked at again, at the latest, at the instant `until`."""

    serial: int
    until: float


@dataclass(frozen=True, slots=True)
class AwaitSiblings:
    """The other cores of an isolated worker still run requests: it lives until the instant `until` at least."""

    serial: int
    until: float


@dataclass(frozen=True, slots=True)
class Execute:
    """Report overdue requests, kill their worker, and answer all of its clients that have no answer."""

    serial: int


@dataclass(frozen=True, slots=True)
class Spare:
    """The overdue request ended by itself."""

    serial: int


@dataclass(frozen=True, slots=True)
class PutOffHarakiri:
    """A request is overdue, but few clients wait: look again at the instant `until`."""

    serial: int
    until: float


@dataclass(frozen=True, slots=True)
class Remind:
    """Have a worker look at whether it is to serve and where the log is; with None all of them, and the templates."""

    serial: int | None = None


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """Close the master's own listening sockets."""


@dataclass(frozen=True, slots=True)
class CheckConfiguration:
    """Read the configuration again, in a child that serves nothing."""


@dataclass(frozen=True, slots=True)
class ReplaceMaster:
    """Execute the master anew with what the child has read."""


@dataclass(frozen=True, slots=True)
class KillChecker:
    """The child that reads the configuration did not end in time."""


@dataclass(frozen=True, slots=True)
class FinishReload:
    """Every worker runs the new code."""


@dataclass(frozen=True, slots=True)
class GiveUpReload:
    """The new cannot serve: what there was before goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChainVictim:
    """A chain reload has come to this worker number, or still waits for its successor."""

    wid: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class StartDaemon:
    """Start the daemon of row `index`."""

    index: int


@dataclass(frozen=True, slots=True)
class LookAtDaemon:
    """Read the pid file of a smart daemon and start it if it is missing."""

    index: int


@dataclass(frozen=True, slots=True)
class TellDaemon:
    """Send a daemon a signal."""

    index: int
    signal: int


@dataclass(frozen=True, slots=True)
class KillDaemon:
    """End a daemon that did not end in time."""

    index: int


@dataclass(frozen=True, slots=True)
class StartGateway:
    """Start a process of this router with this number."""

    number: int
    kind: str = "http"


@dataclass(frozen=True, slots=True)
class TellGateway:
    """Tell a gateway to end with a signal; it has `grace` seconds before it is killed, None means for ever."""

    pid: int
    signal: int
    grace: float | None


@dataclass(frozen=True, slots=True)
class KillGateway:
    """End a gateway that did not end in time."""

    pid: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Look again at this monotonic instant at the latest, although nothing may happen until then."""

    instant: float


Action = (
    StartTemplate
    | StopTemplate
    | KillTemplate
    | OrderWorker
    | Dismiss
    | Recycle
    | Want
    | Cheapen
    | Sleep
    | WatchListeners
    | UnwatchListeners
    | EndServer
    | Say
    | Kill
    | Remind
    | CloseListeners
    | CheckConfiguration
    | ReplaceMaster
    | KillChecker
    | FinishReload
    | GiveUpReload
    | ChainVictim
    | StartDaemon
    | LookAtDaemon
    | TellDaemon
    | KillDaemon
    | StartGateway
    | TellGateway
    | KillGateway
    | WakeAt
    | Nudge
    | AskForStacks
    | Warn
    | Isolate
    | AwaitSiblings
    | Execute
    | Spare
    | PutOffHarakiri
)
