"""uwsgi-allow-from and dynamic-apps: who may be named, and that code is never loaded for anybody."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal

UWSGI = "--socket=:1"


def test_nobody_is_obeyed_unless_told() -> None:
    packets = configure(UWSGI).settings.packets
    assert (packets.uwsgi_allow_from, packets.dynamic_apps) == ((), False)


@pytest.mark.parametrize("options", [(), ("--uwsgi-allow-from=none",)])
def test_loading_needs_somebody_who_may(options: tuple[str, ...]) -> None:
    assert "'dynamic-apps' needs 'uwsgi-allow-from'" in refusal(UWSGI, "--dynamic-apps", *options)


def test_loading_is_never_for_everybody() -> None:
    assert "lets whoever connects run any code" in refusal(UWSGI, "--dynamic-apps", "--uwsgi-allow-from=*,unix")
    assert configure(UWSGI, "--uwsgi-allow-from=*").settings.packets.uwsgi_allow_from == ("*",)


def test_names_are_checked() -> None:
    assert "'uwsgi-allow-from' has 'web', which is no address" in refusal(UWSGI, "--uwsgi-allow-from=web")


def test_applications_may_all_come_from_requests() -> None:
    dynamic = (UWSGI, "--uwsgi-allow-from=unix", "--dynamic-apps")
    assert not configure(*dynamic).settings.application.need_app
    assert configure(*dynamic, "--module=app").settings.application.need_app


def test_other_protocols_have_no_such_packets() -> None:
    def warned(*options: str) -> bool:
        warnings = configure("--uwsgi-allow-from=unix", *options).warnings
        return any("uwsgi-allow-from" in warning for warning in warnings)

    assert warned("--http-socket=:1", "--scgi-socket=:2")
    assert warned("--socket=:1", "--protocol=fastcgi")
    assert not warned(UWSGI)
    assert not warned("--uwsgi-socket=:1", "--protocol=fastcgi")
