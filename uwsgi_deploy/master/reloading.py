"""Commands that bring in something new, and the one that asks how it went. Begins reloads; the policies run them."""

from __future__ import annotations

from collections.abc import Callable

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.reload_rows import ReloadKind

KIND_OF: dict[Command, ReloadKind] = {
    Command.RELOAD: ReloadKind.WHOLE,
    Command.BRUTAL_RELOAD: ReloadKind.BRUTAL,
    Command.CHAIN_RELOAD: ReloadKind.CHAIN,
    Command.WORKERS_RELOAD: ReloadKind.WORKERS,
    Command.BRUTAL_WORKERS_RELOAD: ReloadKind.BRUTAL_WORKERS,
    Command.RESTART: ReloadKind.RESTART,
}
# uWSGI's lazy mode: its workers are all there is to reload.
LAZY_KIND: dict[ReloadKind, ReloadKind] = {
    ReloadKind.WHOLE: ReloadKind.WORKERS,
    ReloadKind.BRUTAL: ReloadKind.BRUTAL_WORKERS,
}
WORDS: dict[ReloadKind, str] = {
    ReloadKind.WHOLE: "...gracefully killing workers... (when new ones serve; until then the present ones do)",
    ReloadKind.BRUTAL: "...brutally killing workers... (when the new application is loaded)",
    ReloadKind.CHAIN: "chain reload starting...",
    ReloadKind.WORKERS: "...gracefully killing workers... (one after the other, when its successor serves)",
    ReloadKind.BRUTAL_WORKERS: "...brutally killing workers...",
    ReloadKind.RESTART: "...gracefully killing workers... (when the last one has gone, everything starts anew)",
}


class Reloading:
    """`commands` is what it can do, for the master's table."""

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        self._settings, self._fleet = settings, fleet
        self.commands: dict[Command, Callable[[Request, float], Reply]] = {
            **dict.fromkeys(KIND_OF, self._begin),
            Command.RELOAD_STATUS: self._tell,
        }

    def _begin(self, request: Request, now: float) -> Reply:
        fleet, kind = self._fleet, KIND_OF[request.command]
        if self._settings.reload.lazy:
            kind = LAZY_KIND.get(kind, kind)
        if fleet.stop is not None or fleet.leaving_since is not None:
            return Reply(ok=False, message="the server is stopping")
        if fleet.awaits_change:
            fleet.try_again()
            return Reply(ok=True, message="the application is loaded again")
        if self._settings.reload.exit_on_reload and kind in (ReloadKind.WHOLE, ReloadKind.BRUTAL, ReloadKind.RESTART):
            return self._exit(kind, now)
        running = fleet.reload is not None
        number = fleet.begin_reload(kind)
        if running:
            message = "a reload is running; another one follows"
            log(message)
        elif not fleet.booted:
            message = f"the server is still starting; the {kind.value} follows"
            log(message)
        else:
            message = f"the {kind.value} has begun"
            log(WORDS[kind])
        return Reply(ok=True, message=message, data={"reload": number})

    def _exit(self, kind: ReloadKind, now: float) -> Reply:
        """exit-on-reload: whoever started the server starts it again."""
        log(WORDS[kind].partition(" (")[0])
        self._fleet.begin_stop(now)
        assert self._fleet.stop is not None
        self._fleet.stop.immediate = kind is ReloadKind.BRUTAL
        self._fleet.stop.last_words = "uWSGI: GAME OVER (insert coin)"
        return Reply(ok=True, message="the server ends (exit-on-reload)")

    def _tell(self, request: Request, _now: float) -> Reply:
        text = request.arguments[0] if request.arguments else ""
        try:
            number = int(text)
            outcome = self._fleet.state_of_reload(number)
        except (ValueError, LookupError):
            return Reply(ok=False, message=f"there is no reload {text or 'without a number'} to tell of")
        if outcome is None:
            return Reply(ok=True, message="running", data={"reload": number, "state": "running", "reason": ""})
        state, reason = ("complete", "") if outcome.ok else ("failed", outcome.message)
        data = {"reload": number, "state": state, "reason": reason}
        return Reply(ok=True, message=outcome.message, data=data)
