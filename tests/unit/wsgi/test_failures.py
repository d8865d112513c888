"""Which exceptions replace a worker, and what is made of exceptions that fail themselves."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.wsgi.failures import Failures, Rules, rules_of

ENVIRON = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/"}


class Mute(Exception):
    """Whoever asks for its text is lost."""

    def __str__(self) -> str:
        raise RuntimeError


def test_no_rule_applies_to_nothing() -> None:
    assert not rules_of(HarakiriSettings()).apply_to(ValueError("a"))


@pytest.mark.parametrize(
    ("rules", "applies"),
    [
        (Rules(every=True), (True, True, True)),
        (Rules(types=frozenset({"ValueError"})), (True, False, False)),
        (Rules(types=frozenset({"builtins.ValueError"})), (True, False, False)),
        (Rules(types=frozenset({"Exception"})), (False, False, False)),
        (Rules(values=frozenset({"a"})), (True, True, False)),
        (Rules(reprs=frozenset({"KeyError: 'a'", "ValueError: a"})), (True, False, False)),
        (Rules(types=frozenset({f"{__name__}.Mute"})), (False, False, True)),
    ],
)
def test_rules(rules: Rules, applies: tuple[bool, bool, bool]) -> None:
    """Class names are compared, and not their bases, as uWSGI documents it."""
    assert (rules.apply_to(ValueError("a")), rules.apply_to(OSError("a")), rules.apply_to(Mute())) == applies


def test_an_exception_without_a_text() -> None:
    """It is reported, shown and acted upon all the same."""
    reports: list[str] = []
    reasons: list[str] = []
    failures = Failures(reports.append, rules=Rules(every=True), condemn=reasons.append, shown=True)
    failures.note(Mute(), ENVIRON)
    assert "Mute" in reports[0]
    assert reasons == ["exception Mute: "]
    assert "Exception class: Mute" in (failures.page(Mute(), ENVIRON) or "")
