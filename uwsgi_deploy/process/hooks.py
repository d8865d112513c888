"""Hooks: run the steps of a phase in the process that has reached it.

A step that fails ends the phase with HookFailed, whose sentence names option, step and cause; what that means is the
caller's: at the start it ends the server, as in uWSGI. `run_action` is for a single action at any other time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from uwsgi_deploy.config.hooks import Phase, Step, parse_action, steps
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.process.hook_actions import HookExit, HookFailed, Surroundings, perform

__all__ = ["HookExit", "HookFailed", "HookRunner", "Phase"]

# Here the application is, or comes next: its own functions run in the process itself.
WITH_APPLICATION = frozenset(
    {
        Phase.PRE_APP,
        Phase.POST_APP,
        Phase.POST_FORK,
        Phase.ACCEPTING,
        Phase.ACCEPTING_ONCE,
        Phase.ACCEPTING1,
        Phase.ACCEPTING1_ONCE,
    }
)

# Actions whose effect is gone when the process executes another image.
ON_THE_PROCESS = frozenset({"cd", "chdir", "putenv"})


class HookRunner:
    """Runs hooks of one server's settings.

    prepare_imports: puts the application's directories on sys.path, for functions that run in a child.
    restores: the process only becomes again what it was: of each phase only the steps that change the process itself
    are run, and one that fails is logged.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        prepare_imports: Callable[[], None],
        log: Callable[[str], None],
        restores: bool = False,
    ) -> None:
        self._settings, self._prepare_imports, self._log = settings, prepare_imports, log
        self._restores = restores

    def run(self, phase: Phase) -> None:
        """Run all steps of a phase; HookFailed or HookExit at the first that fails or asks for the end."""
        for step in steps(self._settings.hooks, phase):
            if not self._restores:
                self._run(step, phase.value, in_application=phase in WITH_APPLICATION)
            elif step.action in ON_THE_PROCESS:
                try:
                    self._run(step, phase.value, in_application=False)
                except HookFailed as error:
                    self._log(str(error))

    def run_action(self, text: str, option: str) -> None:
        """Run one `ACTION:ARGUMENTS` in the master; ConfigError if it is none, else as `run`."""
        self._run(parse_action(text, option), option, in_application=False)

    def has(self, phase: Phase) -> bool:
        """Whether anything is to be run in a phase."""
        return any(True for _ in steps(self._settings.hooks, phase))

    def _run(self, step: Step, moment: str, *, in_application: bool) -> None:
        self._log(f'running "{step.action}:{step.argument}" ({moment})...')
        surroundings = Surroundings(
            environ=self._environ,
            in_application=in_application,
            prepare_imports=self._prepare_imports,
            fs_timeout=self._settings.hooks.wait_for_fs_timeout,
            socket_timeout=self._settings.hooks.wait_for_socket_timeout,
            log=self._log,
        )
        try:
            perform(step, surroundings)
        except HookFailed as error:
            raise HookFailed(f"hook failed: {step}: {error}") from error
        except OSError as error:
            raise HookFailed(f"hook failed: {step}: {error.strerror or error}") from error

    def _environ(self) -> Mapping[str, str]:
        """The process's own with the application's variables: commands see what the application will see."""
        pairs = (entry.partition("=") for entry in self._settings.application.env)
        return {**os.environ, **{name: value for name, _, value in pairs}}
