"""Options of the fastrouter and the rawrouter: what follows from them, what is refused, what has no effect."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.types import Protocol

FAST = ("--fastrouter", ":3031")
RAW = ("--rawrouter", ":5432")


def test_each_router_is_a_plan_for_the_master() -> None:
    settings = configure(
        *("--http", ":80", "--http-to", "a:1", "--fastrouter", ":3031", "--fastrouter-to", "a:1,weight=2"),
        *("--fastrouter-ss", "/f.sock", "--fastrouter-workers", "2", "--rawrouter", ":1", "--rawrouter-to", "a:1"),
    ).settings
    assert [(router.kind, router.processes) for router in settings.routers] == [
        ("http", 1),
        ("fastrouter", 2),
        ("rawrouter", 1),
    ]
    assert settings.router_addresses == (
        ("http", Protocol.HTTP, ":80"),
        ("fastrouter", Protocol.UWSGI, ":3031"),
        ("fastrouter", Protocol.RAW, "/f.sock"),
        ("rawrouter", Protocol.RAW, ":1"),
    )
    assert not settings.has_workers


def test_workers_are_there_for_whoever_needs_them() -> None:
    routed = (*FAST, "--fastrouter-use-base", "/run/")
    assert not configure(*routed).settings.has_workers
    assert configure(*routed, "--http", ":80").settings.has_workers
    assert configure(*routed, "--socket", "a.sock").settings.has_workers
    assert configure(*routed).settings.workers.master


def test_a_shared_socket_may_be_a_router_s() -> None:
    settings = configure("--shared-socket", ":1", "--rawrouter", "=0", "--rawrouter-to", "a:1").settings
    assert settings.rawrouter.rawrouter == (":1",)
    assert "means a shared-socket that is not there" in refusal("--fastrouter", "=0", "--fastrouter-to", "a:1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (FAST, "'fastrouter' has no server to forward to"),
        (RAW, "'rawrouter' has no server to forward to"),
        ((*FAST, "--fastrouter-to", "a:1,weight=x"), "no weight"),
        ((*RAW, "--rawrouter-fallback", ",", "--rawrouter-to", "a:1"), "''"),
        ((*FAST, "--fastrouter-to", "a:1", "--fastrouter-use-base", "/run/"), "'fastrouter-to' contradict each other"),
        ((*FAST, "--fastrouter-use-pattern", "/run/app"), "has one %s"),
        ((*FAST, "--fastrouter-use-pattern", "/run/%s/%d"), "has one %s"),
        ((*FAST, "--fastrouter-to", "a:1", "--fastrouter-processes", "0"), "must be from 1 to 64, not 0"),
        ((*FAST, "--fastrouter-to", "a:1", "--fastrouter-fallback-on-no-key"), "needs 'fastrouter-fallback'"),
        ((*RAW, "--rawrouter-to", "a:1", "--cheaper", "1", "-p", "2"), "'cheaper' is about workers"),
        (
            (*RAW, "--rawrouter-to", "a:1", *FAST, "--fastrouter-to", "a:1", "--force-gateway", "--no-master"),
            "'force-gateway' is for one router",
        ),
        (
            (*RAW, "--rawrouter-to", "a:1", "--rawrouter-processes", "2", "--force-gateway", "--no-master"),
            "'rawrouter-processes' must be 1 with 'force-gateway'",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], says: str) -> None:
    assert says in refusal(*arguments)


def test_what_has_no_effect_is_said() -> None:
    assert any(
        "'fastrouter-to' has no effect without 'fastrouter'" in warning
        for warning in configure("--http-socket", ":1", "--fastrouter-to", "a:1").warnings
    )
