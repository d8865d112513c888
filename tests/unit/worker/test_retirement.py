"""When a worker has done its work, with simulated requests, time and memory."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.settings import RecyclingSettings, Settings, WorkerSettings
from uwsgi_deploy.process.memory import Shares, Usage
from uwsgi_deploy.worker.retirement import MEMORY_TICK, NEVER, NO_TIME, SHARES_TICK, Limits, Retirement, broken_limit

MEBIBYTE = 1 << 20


def retirement(
    wid: int = 1,
    *,
    max_requests: int = 0,
    delta: int = 0,
    recycling: RecyclingSettings | None = None,
    usage: Usage | None = None,
    shares: Shares | None = None,
) -> Retirement:
    settings = Settings(
        workers=WorkerSettings(max_requests=max_requests, max_requests_delta=delta),
        recycling=recycling or RecyclingSettings(min_worker_lifetime=0),
    )
    return Retirement(settings, wid, 100.0, usage=lambda: usage, shares=lambda: shares)


def test_nothing_to_look_at() -> None:
    """Without limits the two comparisons of the request path never come true."""
    watch = retirement()
    assert (watch.requests, watch.look_at) == (NEVER, NO_TIME)


def test_max_requests_with_delta() -> None:
    watch = retirement(3, max_requests=50, delta=10)
    assert watch.requests == 70
    assert watch.verdict(70, 101.0) == "max requests reached (70 >= 70)"


def test_too_young() -> None:
    """What happens before min-worker-lifetime is looked at again when that is over."""
    watch = retirement(max_requests=5, recycling=RecyclingSettings(min_worker_lifetime=10))
    assert watch.verdict(5, 109.9) == ""
    assert (watch.requests, watch.look_at) == (NEVER, 110.0)
    assert watch.verdict(8, 110.0) == "max requests reached (8 >= 5)"


def test_grown_up_with_work_left() -> None:
    """After the look that its age caused only the number of requests counts again."""
    watch = retirement(max_requests=50, recycling=RecyclingSettings(min_worker_lifetime=10))
    watch.verdict(50, 101.0)
    assert watch.verdict(49, 110.0) == ""
    assert (watch.requests, watch.look_at) == (50, NO_TIME)


def test_memory_is_looked_at_in_ticks() -> None:
    """From the end of its youth on, and then every tick."""
    recycling = RecyclingSettings(min_worker_lifetime=10, reload_on_rss=100)
    watch = retirement(recycling=recycling, usage=Usage(0, 99 * MEBIBYTE))
    assert watch.look_at == 110.0
    assert watch.verdict(1, 111.0) == ""
    assert watch.look_at == 111.0 + MEMORY_TICK


def test_dear_samples_are_rare() -> None:
    assert Limits(rss=1, uss=1).tick == SHARES_TICK


@pytest.mark.parametrize(
    ("recycling", "reason"),
    [
        ({"reload_on_rss": 30}, "reload-on-rss limit reached (31457280 >= 31457280)"),
        ({"reload_on_as": 400}, "reload-on-as limit reached (419430400 >= 419430400)"),
        ({"reload_on_uss": 10}, "reload-on-uss limit reached (10485760 >= 10485760)"),
        ({"reload_on_pss": 20}, "reload-on-pss limit reached (20971520 >= 20971520)"),
        ({"reload_on_rss": 31, "reload_on_as": 401, "reload_on_uss": 11, "reload_on_pss": 21}, ""),
    ],
)
def test_each_kind_of_memory(recycling: dict[str, int], reason: str) -> None:
    """A limit is reached when the size equals it, as in uWSGI."""
    watch = retirement(
        recycling=RecyclingSettings(min_worker_lifetime=0, **recycling),  # type: ignore[arg-type]
        usage=Usage(400 * MEBIBYTE, 30 * MEBIBYTE),
        shares=Shares(10 * MEBIBYTE, 20 * MEBIBYTE),
    )
    assert watch.verdict(1, 100.0) == reason


def test_memory_that_cannot_be_read_breaks_no_limit() -> None:
    assert broken_limit(Limits(rss=1, pss=1), None, None) == ""


def test_decided() -> None:
    """Nothing is decided twice."""
    watch = retirement(max_requests=1, recycling=RecyclingSettings(min_worker_lifetime=0, reload_on_rss=1))
    watch.decided()
    assert (watch.requests, watch.look_at) == (NEVER, NO_TIME)
