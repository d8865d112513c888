"""One server per shape and set of options, started when its first test runs and ended when the next one is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.servers import SHAPES, ServerFor, Target, serve


@pytest.fixture(scope="session")
def server_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFor]:
    """The server of a shape with options, shared by the tests that ask for the same one after each other."""
    with ExitStack() as stack:
        running: dict[tuple[str, tuple[str, ...]], Target] = {}

        def get(shape: str, options: tuple[str, ...]) -> Target:
            if (shape, options) not in running:
                stack.close()
                running.clear()
                started = serve(tmp_path_factory.mktemp("state"), *SHAPES[shape], *options)
                running[shape, options] = stack.enter_context(started)
            return running[shape, options]

        yield get


@pytest.fixture(scope="module", params=SHAPES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with default limits, in each shape."""
    with serve(tmp_path_factory.mktemp("state"), *SHAPES[request.param]) as running:
        yield running
