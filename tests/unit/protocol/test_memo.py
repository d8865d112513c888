"""What was computed once is not computed again, within bounds."""

from __future__ import annotations

import pytest

from uwsgi_deploy.protocol.memo import Memo


def test_results_are_remembered_within_bounds() -> None:
    calls: list[bytes] = []

    def compute(key: bytes) -> int:
        calls.append(key)
        return len(key)

    memo = Memo(compute, capacity=2, longest=3)
    assert [memo[b"a"], memo[b"a"], memo[b"long"], memo[b"long"]] == [1, 1, 4, 4]
    assert calls == [b"a", b"long", b"long"]
    _ = memo[b"b"], memo[b"c"]
    assert len(memo) <= 2


def test_errors_are_not_remembered() -> None:
    def fail(key: bytes) -> int:
        raise ValueError(key)

    memo = Memo(fail, capacity=2, longest=3)
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            memo[b"a"]
    assert not memo
